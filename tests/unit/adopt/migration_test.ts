import assert from "node:assert/strict";
import { parseSync } from "libpg-query";
import { adoptionSql, forgetSql, undoSql } from "../../../cli/adopt/migration.ts";
import { projectOf, proposalsFor } from "../../support/adopt.ts";
import { sqlEntry } from "../../support/audit.ts";

const secret = "correct-horse-☃-battery";
const command =
  `select net.http_post('https://abc.supabase.co/functions/v1/f', headers := '{"x-cron-secret": "${secret}"}',
  body := '{"quote": "it''s $adopt$ \\\\ \\"", "id": 12345678901234567890}')`;
const names = ["o'clock $adopt$\n; drop table t; --", "back\\slash\u2028"];

const jobs = () =>
  proposalsFor(names.map((name) => sqlEntry(name, "0 3 * * *", command)), {}, {
    project: projectOf({
      secrets: new Map([["hook", 40]]),
      nameOfSecret: new Map([[secret, "hook"]]),
    }),
  }).jobs;

Deno.test("the migration is one statement whatever names and payloads hold", () => {
  const sql = adoptionSql(jobs(), { reason: "it's $adopt$ \\", author: "o'ann" }, (text) => text);
  const { stmts } = parseSync(sql);
  assert.equal(stmts.length, 1);
  const [block] = stmts[0].stmt.DoStmt.args;
  const body: string = block.DefElem.arg.String.sval;
  assert.match(body, /^\nbegin\n/);
  assert.match(body, /\nend;\n$/);
  const [, list] = /adopt_entries\((E?'(?:[^']|'')*')/.exec(body)!;
  const [{ stmt }] = parseSync(`select ${list}`).stmts;
  const entries = JSON.parse(stmt.SelectStmt.targetList[0].ResTarget.val.A_Const.sval.sval);
  assert.deepEqual(entries.map(({ name }: { name: string }) => name), names);
  const [, payload] = /payload => (E?'(?:[^']|'')*')/.exec(body)!;
  const value = parseSync(`select ${payload}`).stmts[0].stmt.SelectStmt.targetList[0].ResTarget.val;
  assert.equal(
    value.A_Const.sval.sval,
    '{"quote": "it\'s $adopt$ \\\\ \\"", "id": 12345678901234567890}',
  );
});

Deno.test("the migration holds no secret and no command; what is secret is cut out of what is hashed", () => {
  const sql = adoptionSql(jobs(), {}, (text) => text, [secret]);
  for (const part of [secret, "correct", "net.http_post"]) assert.ok(!sql.includes(part), part);
  const [first] = /\{"name".*\}/.exec(sql.replaceAll("''", "'").replaceAll("\\\\", "\\"))!;
  const at = [...command].join("").indexOf(secret) + 1;
  assert.deepEqual(JSON.parse(first).without, [[at, 23]]);
  const other = jobs();
  for (const { entries } of other) {
    for (const entry of entries) entry.command = command.replace(secret, "☃".repeat(23));
  }
  const hashes = (text: string) =>
    [...text.matchAll(/"command_sha256":"(\w+)"/g)].map(([, hash]) => hash);
  assert.deepEqual(
    hashes(adoptionSql(other, {}, (text) => text, ["☃".repeat(23)])),
    hashes(sql),
  );
});

Deno.test("names of jobs in the SQL of undoing are quoted", () => {
  assert.match(
    undoSql(["a", "b"], { reason: "it's" }),
    /^select scheduler\.undo_adoption\(array\['a', 'b'\]::text\[\], p_reason => 'it''s'\);$/m,
  );
  assert.equal(
    forgetSql(["a"], { author: "ann" }),
    "select scheduler.forget_adopted_entries(array['a']::text[], p_author => 'ann');\n",
  );
});
