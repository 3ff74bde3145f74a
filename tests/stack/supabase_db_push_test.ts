// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { applyMigrations, readMigrations } from "../../local/migrations.ts";
import { runSupabase } from "../../local/supabase-cli.ts";
import { withDatabase } from "../support/database.ts";

Deno.test("the Supabase CLI minds neither supabase/sql nor packs.json: its db push applies the migrations alone", () =>
  withDatabase(async ({ url, sql }) => {
    const supabase = new URL("../../supabase/", import.meta.url);
    for (
      const name of ["sql/scheduler/tables.sql", "packs.json", "schedules.json", "releases.json"]
    ) {
      assert.ok((await Deno.stat(new URL(name, supabase))).isFile, name);
    }
    await runSupabase(["db", "push", `--remote=${url}`, "--yes"]);
    const record = await sql`
      select version, name from supabase_migrations.schema_migrations order by 1`;
    const migrations = await readMigrations();
    assert.deepEqual(
      [...record],
      migrations.map(({ version, name }) => ({ version, name })),
    );
    assert.deepEqual(await applyMigrations(sql, migrations), []);
  }, { packs: "none" }));

Deno.test("the Supabase CLI finds nothing to push where the stack has applied the migrations", () =>
  withDatabase(async ({ url, sql }) => {
    await applyMigrations(sql, await readMigrations());
    assert.match(await runSupabase(["db", "push", `--remote=${url}`, "--yes"]), /up to date/);
  }, { packs: "none" }));
