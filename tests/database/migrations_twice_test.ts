import assert from "node:assert/strict";
import { withDatabase } from "../support/database.ts";
import { readMigrations } from "../../local/migrations.ts";

Deno.test("the whole set of migrations applied again changes nothing", async () => {
  const snapshotQuery = await Deno.readTextFile(new URL("./migrations_twice.sql", import.meta.url));
  await withDatabase(async ({ sql }) => {
    const snapshot = async () => {
      const catalogue = (await sql.unsafe(snapshotQuery)).map(({ kind, name, definition }) =>
        `${kind} ${name}: ${definition}`
      );
      const tables = await sql.unsafe(`
        select format('%I.%I', nspname, relname) as name
        from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relkind = 'r' and nspname in ('public', 'scheduler', 'cron') order by 1`);
      for (const { name } of tables) {
        const rows = await sql.unsafe(
          `select format('%s %s %s', ctid, xmin, r) as row from ${name} as r`,
        );
        catalogue.push(...rows.map(({ row }) => `row of ${name}: ${row}`));
      }
      return catalogue.sort();
    };
    const before = await snapshot();
    for (const kind of ["function", "table", "index", "constraint", "comment", "row of cron.job"]) {
      assert.ok(
        before.some((line) => line.startsWith(`${kind} `) || line.startsWith(`${kind}:`)),
        kind,
      );
    }
    for (const { name, text } of await readMigrations()) {
      await sql.begin((transaction) => transaction.unsafe(text)).catch((error) => {
        assert.fail(`${name}: ${error.message}`);
      });
    }
    assert.deepEqual(await snapshot(), before);
  });
});
