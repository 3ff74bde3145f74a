import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { withDatabase } from "../../support/database.ts";

const program = fileURLToPath(new URL("../../../cli/sql.ts", import.meta.url));

/** What `deno task sql <args>` prints, and whether it succeeded. */
const ask = (...args: string[]) => askWith({}, ...args);

async function askWith(env: Record<string, string>, ...args: string[]) {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", program, ...args],
    env,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trimEnd();
  return { success, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("deno task sql prints one value bare, rows as a table, and what else was done", async () => {
  await withDatabase(async ({ url }) => {
    const told = ["--database-url", url];
    assert.deepEqual(await ask(...told, "select 'a sentence.' as explain"), {
      success: true,
      stdout: "a sentence.",
      stderr: "",
    });
    const rows =
      "select name, enabled as on from scheduler_jobs where function_name like 'aggregate-%' order by name limit 2";
    assert.equal(
      (await ask(...told, rows)).stdout,
      [
        "name                            on",
        "aggregate-device-metrics        t",
        "aggregate-device-metrics-daily  t",
        "(2 rows)",
      ].join("\n"),
    );
    assert.equal((await ask(...told, "create table t (id int)")).stdout, "CREATE TABLE");
  });
});

Deno.test("deno task sql fails with the database's words and hint", async () => {
  await withDatabase(async ({ url }) => {
    const { success, stderr } = await ask(
      "--database-url",
      url,
      "select scheduler.run_now('no-job', 'ann')",
    );
    assert.equal(success, false);
    assert.match(stderr, /^there is no job named 'no-job'\nhint: the jobs are: aggregate-/);
  });
});

Deno.test("deno task sql never takes a database of the environment", async () => {
  await withDatabase(async ({ url, name }) => {
    const { stdout } = await askWith({ DATABASE_URL: url }, "select current_database()");
    assert.notEqual(stdout, name);
  });
});

Deno.test("deno task sql wants its statements in one argument", async () => {
  for (const args of [[], ["select 1", "select 2"]]) {
    const { success, stderr } = await ask(...args);
    assert.equal(success, false);
    assert.match(stderr, /statements in one pair of quotes are needed\n\n.*deno task sql/s);
  }
});

Deno.test("deno task sql prints values as Postgres writes them, whatever the zone of the machine", async () => {
  await withDatabase(async ({ url, sql }) => {
    const values = [
      "timestamp '2026-03-08 02:30'",
      "timestamptz '2026-03-08 02:30Z'",
      "timestamp '-infinity'",
      "timestamptz 'infinity'",
      "timestamptz '0044-03-15 12:00Z BC'",
      "timestamptz '290000-01-01 00:00Z'",
      "date '2026-03-08'",
      "date '-infinity'",
      "time '02:30'",
      "interval '1 mon 2 days 03:00'",
      "true",
      "null::text",
      "1e20::numeric",
      "'NaN'::float8",
      `'{"b":  1}'::json`,
      `'{"b":  1}'::jsonb`,
      "array['a b', null]",
      "'\\x00ff'::bytea",
      "row(1, 'a,b')",
    ];
    const [expected] = await sql`select ${
      sql.unsafe(values.map((value, i) => `format('%s', ${value}) as c${i}`).join(", "))
    }`;
    for (const zone of ["America/New_York", "UTC", "Asia/Kathmandu"]) {
      for (const [index, value] of values.entries()) {
        if (index > 3 && zone !== "America/New_York") continue;
        const { stdout, stderr } = await askWith(
          { TZ: zone },
          ...["--database-url", url, `select ${value} as value`],
        );
        assert.equal(stdout, expected![`c${index}`], `${value} in ${zone}: ${stderr}`);
      }
    }
    const row = await ask("--database-url", url, `select ${values.join(", ")}, 1 as a, 2 as a`);
    assert.match(
      row.stdout,
      /2026-03-08 02:30:00 .* 2026-03-08 02:30:00\+00 .* -infinity .* 1 +2$/m,
    );
  });
});

Deno.test("deno task sql prints the result of each of several statements", async () => {
  await withDatabase(async ({ url }) => {
    const statements = [
      "create table t (id int, name text)",
      "insert into t select n, 'name ' || n from generate_series(1, 3) n",
      "select 1 as one",
      "select * from t where id < 3",
      "select from t limit 0",
      "select id from t where false",
      "update t set id = id where id > 1",
      "copy t to stdout",
      "",
    ];
    assert.deepEqual(await ask("--database-url", url, statements.join("; ")), {
      success: true,
      stdout: [
        ...["CREATE TABLE", "INSERT 0 3", "1"],
        ...["id  name", "1   name 1", "2   name 2", "(2 rows)"],
        ...["(0 rows)", "id", "(0 rows)"],
        "UPDATE 2",
        ...["1\tname 1", "2\tname 2", "3\tname 3"],
      ].join("\n"),
      stderr: "",
    });
    const failed = await ask("--database-url", url, "select 1; commit; select 1 / 0; select 2");
    assert.equal(failed.success, false);
    assert.match(failed.stdout, /^1\n/);
    assert.match(failed.stderr, /division by zero$/);
  });
});
