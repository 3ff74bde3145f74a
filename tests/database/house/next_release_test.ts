import assert from "node:assert/strict";
import { readMigrations } from "../../../local/migrations.ts";
import { makeMigrations, readReleases } from "../../../local/releases.ts";

/** A version that comes after all, for which no changes are written. */
const next = "99.0.0";

/** As if all there is had been made by 0.9.0, with the core's last migration ending otherwise. */
async function released(ending: string) {
  const earlier = (await readReleases()).map((release) => ({ ...release, version: "0.9.0" }));
  const all = await readMigrations();
  const last = all.findLast(({ name }) => name.startsWith("daybook_scheduler_"));
  const migrations = all.map((migration) =>
    migration === last ? { ...migration, text: migration.text + ending } : migration
  );
  return { earlier, migrations };
}

Deno.test("the next release has the functions that are other ones now, and drops those that are gone", async () => {
  const { earlier, migrations } = await released(`
    create or replace function scheduler.version() returns text
    language sql immutable set search_path = '' as $$ select '0.9.0' $$;
    create function scheduler.gone() returns integer
    language sql immutable set search_path = '' as $$ select 1 $$;`);
  const made = await makeMigrations(next, earlier, migrations);
  assert.deepEqual(made.map(({ pack }) => pack.name), ["scheduler"]);
  const { text } = made[0]!;
  const functions = [...text.matchAll(/^CREATE OR REPLACE FUNCTION ([\w.]+)/gm)];
  assert.deepEqual(functions.map(([, name]) => name), ["scheduler.version"]);
  assert.match(text, /^drop function scheduler\.gone\(\);$/m);
  assert.match(text, /^revoke all on function scheduler\.version\(\) from public,/m);
});

Deno.test("a release that does not lead to supabase/sql is refused, and names the file for what is missing", async () => {
  const { earlier, migrations } = await released(
    "alter table public.scheduler_runs drop column progress;",
  );
  await assert.rejects(makeMigrations(next, earlier, migrations), (error: Error) => {
    assert.match(error.message, /supabase\/sql\/<pack>\/changes\/99\.0\.0\.sql/);
    assert.match(error.message, /^\+ column scheduler_runs\.progress: jsonb/m);
    return true;
  });
});
