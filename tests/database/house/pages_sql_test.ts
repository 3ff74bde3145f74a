import assert from "node:assert/strict";
import postgres, { type Sql, type TransactionSql } from "postgres";
import { withDatabase } from "../../support/database.ts";
import { functionsOfPage, readPages, splitStatements, sqlOfPage } from "../../support/page-sql.ts";

/** A state of the ledger or an id of a reader's own that is not there; the statement itself is right. */
const depends = /^SD(002|00[5-9]|01\d|1\d\d|2\d\d|3\d\d)$/;

/** What net.check_worker_is_up() says where no worker is, as in this test. */
const noWorker = "P0001 the pg_net background worker is not up: ";

const provider = `insert into batch_providers (name, model, api_url_variable, api_key_variable)
  values ('openai', 'm', 'OPENAI_API_URL', 'OPENAI_API_KEY')`;

/** What is wrong with the statements; they leave nothing. */
async function faultsOf(sql: Sql, statements: string[]): Promise<string[]> {
  const faults: string[] = [];
  const nothingStays = new Error("rolled back");
  await sql.begin(async (transaction: TransactionSql) => {
    for (const statement of statements) {
      try {
        await transaction.savepoint((savepoint) => savepoint.unsafe(statement));
      } catch (error) {
        if (!(error instanceof postgres.PostgresError)) throw error;
        if (!depends.test(error.code)) faults.push(`${error.code} ${error.message}: ${statement}`);
      }
    }
    throw nothingStays;
  }).catch((error) => {
    if (error !== nothingStays) throw error;
  });
  return faults;
}

Deno.test("the SQL of the documents runs", () =>
  withDatabase(async ({ sql }) => {
    await sql`insert into organizations (name) values ('Acme')`;
    // What the reader of docs/writing-a-job.md has made by then.
    await sql`create table expire_trials_items (id bigint, due_at timestamptz, done_at timestamptz)`;
    const pieces = (await readPages()).flatMap(({ path, text }) => sqlOfPage(path, text));
    assert.ok(pieces.length > 100, String(pieces.length));
    const faults: string[] = [];
    for (const { path, statements } of pieces) {
      const makesIt = statements.some((text) => text.startsWith("insert into batch_providers"));
      for (const fault of await faultsOf(sql, [...makesIt ? [] : [provider], ...statements])) {
        if (!fault.startsWith(noWorker)) faults.push(`${path}: ${fault}`);
      }
    }
    assert.deepEqual(faults, []);
  }));

Deno.test("the functions of SQL that the documents name are there", () =>
  withDatabase(async ({ sql }) => {
    const rows = await sql`
      select nspname || '.' || proname as name
      from pg_proc join pg_namespace on pg_namespace.oid = pronamespace`;
    const there = new Set(rows.map(({ name }) => name));
    const missing = (text: string) =>
      functionsOfPage(text).filter((name) =>
        !there.has(name.includes(".") ? name : `public.${name}`)
      );
    const page = "call `prune_old_rows('x')`, `scheduler.tick()` or `scheduler.beat()`";
    assert.deepEqual(missing(page), ["prune_old_rows", "scheduler.tick"]);
    for (const { path, text } of await readPages()) assert.deepEqual(missing(text), [], path);
  }));

Deno.test("a page with a function, column or setting that is not there is found", () =>
  withDatabase(async ({ sql }) => {
    const page = [
      "Look: `select prune_old_rows('tasks');` and `select no_such from scheduler_runs`, or",
      "",
      "```sql",
      "select scheduler.version();   -- it's there; and",
      "select * from code_failure_cause(E'a\\nb; don\\'t'), prompts;",
      "select scheduler.setting('no.such');",
      "```",
    ].join("\n");
    const faults: string[] = [];
    for (const { statements } of sqlOfPage("a page", page)) {
      faults.push(...await faultsOf(sql, statements));
    }
    assert.deepEqual(faults.map((fault) => fault.slice(0, 5)).sort(), [
      "42703",
      "42883",
      "42883",
      "SD003",
    ]);
  }));

Deno.test("statements are cut at semicolons, but not in texts, comments and bodies", () => {
  assert.deepEqual(
    splitStatements("select ';' -- a; b\n, E'\\';';\ndo $x$ begin; end $x$;\n-- last; one\n"),
    ["select ';' \n, E'\\';'", "do $x$ begin; end $x$"],
  );
});
