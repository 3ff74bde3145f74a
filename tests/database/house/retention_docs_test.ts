import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

const page = await Deno.readTextFile(new URL("../../../docs/operations.md", import.meta.url));
const section = page.split("\n## Retention\n")[1]!.split("\n## ")[0]!;
const rows = section.split("\n").filter((line) => line.startsWith("| `")).map((line) =>
  line.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", ""))
);
const named = [...section.matchAll(/`([\w.]+)`/g)].map((match) => match[1]!);

Deno.test("docs/operations.md has every setting of a retention with its days", async () => {
  await withDatabase(async ({ sql }) => {
    const settings = await sql`
      select key, value from scheduler_settings where key like 'retention.%' or key like 'scheduler.keep_%'`;
    assert.deepEqual(
      rows.map(([, setting, days]) => `${setting} ${days}`).sort(),
      settings.map(({ key, value }) => `${key} ${value}`).sort(),
    );
  });
});

Deno.test("docs/operations.md names each table, pruned or not", async () => {
  await withDatabase(async ({ sql }) => {
    const tables = await sql`
      select case nspname when 'public' then relname else nspname || '.' || relname end as name
      from pg_class join pg_namespace on pg_namespace.oid = relnamespace
      where nspname not like 'pg\\_%' and nspname not in ('information_schema', 'cron', 'net', 'vault', 'supabase_migrations')
        and relkind in ('r', 'p') order by 1`;
    const missing = tables.map((row) => row.name).filter((name) => !named.includes(name));
    assert.deepEqual(missing, [], "a table that grows for ever?");
    const rules = await sql`
      select rule from scheduler.retention_rules where old_rows is not null`;
    for (const { rule } of rules) {
      const row = rows.find(([, setting]) => setting === `retention.${rule}_days`);
      assert.equal(row?.[0], rule);
    }
  });
});
