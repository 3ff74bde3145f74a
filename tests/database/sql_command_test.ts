import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { withDatabase } from "../support/database.ts";

const program = fileURLToPath(new URL("../../cli/sql.ts", import.meta.url));

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
        "aggregate-device-metrics        true",
        "aggregate-device-metrics-daily  true",
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
      "select scheduler.run_now('no-job')",
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

Deno.test("deno task sql wants exactly one statement", async () => {
  for (const args of [[], ["select 1", "select 2"]]) {
    const { success, stderr } = await ask(...args);
    assert.equal(success, false);
    assert.match(stderr, /one statement in quotes is needed/);
  }
});
