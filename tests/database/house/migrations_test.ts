// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  applyMigrations,
  loadSeed,
  type Migration,
  readMigrations,
} from "../../../local/migrations.ts";
import { withDatabase } from "../../support/database.ts";

const one: Migration = {
  version: "20260101000000",
  name: "one",
  text: "create table public.one (id integer);\ncomment on table public.one is 'one';",
};
const two: Migration = {
  version: "20260102000000",
  name: "two",
  text: "-- The second.\nalter table public.one add column name text;",
};

Deno.test("applyMigrations() applies what is not yet applied and records it as the CLI does", () =>
  withDatabase(async ({ sql }) => {
    assert.deepEqual(await applyMigrations(sql, [one]), ["20260101000000_one"]);
    assert.deepEqual(await applyMigrations(sql, [one, two]), ["20260102000000_two"]);
    assert.deepEqual(await applyMigrations(sql, [one, two]), []);
    const record = await sql`
      select version, name from supabase_migrations.schema_migrations order by 1`;
    assert.deepEqual([...record], [
      { version: "20260101000000", name: "one" },
      { version: "20260102000000", name: "two" },
    ]);
    const [table] = await sql`
      select relowner::regrole::text as owner from pg_class where oid = 'public.one'::regclass`;
    assert.equal(table!.owner, "postgres");
  }, { packs: "none" }));

Deno.test("applyMigrations() takes what the CLI recorded, cut into statements, as applied", () =>
  withDatabase(async ({ sql }) => {
    await applyMigrations(sql, [one]);
    await sql`
      update supabase_migrations.schema_migrations set statements = ${
      one.text.split(";\n").map((statement) => statement.replace(/;$/, ""))
    }`;
    assert.deepEqual(await applyMigrations(sql, [one]), []);
  }, { packs: "none" }));

Deno.test("applyMigrations() refuses a migration that was changed since it was applied", () =>
  withDatabase(async ({ sql }) => {
    await applyMigrations(sql, [one]);
    await assert.rejects(
      applyMigrations(sql, [{ ...one, text: one.text.replace("integer", "bigint") }, two]),
      /20260101000000_one has been changed since it was applied; start with --fresh/,
    );
  }, { packs: "none" }));

Deno.test("a migration that fails leaves nothing and is named with its line", () =>
  withDatabase(async ({ sql }) => {
    const bad = { ...two, text: "create table public.half (id integer);\nselect nonsense;" };
    await assert.rejects(
      applyMigrations(sql, [one, bad]),
      /Cannot apply migration 20260102000000_two: column "nonsense" does not exist \(line 2\)/,
    );
    const [found] =
      await sql`select to_regclass('public.half') as half, to_regclass('public.one') as one`;
    assert.deepEqual({ ...found }, { half: null, one: "one" });
    assert.deepEqual(await applyMigrations(sql, [one, two]), ["20260102000000_two"]);
  }, { packs: "none" }));

Deno.test("loadSeed() loads once", () =>
  withDatabase(async ({ sql }) => {
    await applyMigrations(sql, [one]);
    const file = await Deno.makeTempFile({ suffix: ".sql" });
    try {
      await Deno.writeTextFile(file, "insert into public.one values (1);");
      assert.equal(await loadSeed(sql, file), true);
      assert.equal(await loadSeed(sql, file), false);
      assert.equal(await loadSeed(sql, "/nowhere/seed.sql"), false);
      assert.equal((await sql`select * from public.one`).length, 1);
    } finally {
      await Deno.remove(file);
    }
  }, { packs: "none" }));

Deno.test("readMigrations() refuses a name it cannot order", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/1_first.sql`, "");
    await assert.rejects(readMigrations(directory), /name must be <14 digits>_<name>\.sql/);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
