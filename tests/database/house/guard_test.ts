// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { readCatalogue } from "../../../local/catalogue.ts";
import { guardOf } from "../../../local/guard.ts";
import { applyMigrations, type Migration, readMigrations } from "../../../local/migrations.ts";
import { readPacks } from "../../../local/packs.ts";
import { refusal } from "../../support/refusal.ts";
import { withDatabase } from "../../support/database.ts";

const packs = await readPacks();
const migrations = await readMigrations();
const first = (pack: string) => {
  const { schema } = packs.find(({ name }) => name === pack)!;
  return migrations.find(({ name }) => name.startsWith(`daybook_${schema}_`))!;
};

/** Applies a migration that must refuse; what it says. The database is as before. */
async function refused(sql: Sql, migration: Migration) {
  const before = await readCatalogue(sql);
  const error = await refusal(sql.begin((transaction) => transaction.unsafe(migration.text)));
  assert.deepEqual(await readCatalogue(sql), before);
  return error as Error & { code: string };
}

Deno.test("the core's migration names everything that is in its way, in one error, and changes nothing", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(`
      create schema scheduler;
      create table public.scheduler_runs (id integer);
      create view public.scheduler_state as select 1 as one;
      create sequence public.scheduler_locks;
      create domain public.scheduler_jobs as text;
      create function public.try_mark_daily_run(p_today_key text) returns boolean language sql as 'select true';
      create function public.try_mark_daily_run(p_day date) returns boolean language sql as 'select true';
      create table public.tasks (id integer);
      select cron.schedule('system-health', '* * * * *', 'select 1');
      select cron.schedule('mine', '* * * * *', 'select 1');
    `);
    const error = await refused(sql, first("scheduler"));
    assert.equal(error.code, "42710");
    assert.equal(
      error.message,
      "cannot install the pack scheduler: the database has these already, and they are not Daybook's: " +
        "function public.try_mark_daily_run, pg_cron entry system-health, schema scheduler, " +
        "sequence public.scheduler_locks, table public.scheduler_runs, type public.scheduler_jobs, " +
        "view public.scheduler_state; rename or drop them, or run: " +
        "deno task install <project> --pack scheduler --move-aside",
    );
  }, { packs: "none" }));

Deno.test("the migration of each other pack names a table and a job of the owner's that are in its way", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(`
      create table public.app_settings (key text);
      create table public.tasks (id integer);
      select scheduler.register_job('weekly-suggestions', '0 9 * * *');
      select scheduler.register_job('execute-scheduled-actions', null, target => 'mine');
    `);
    for (
      const [pack, named] of [
        ["agents", "table public.tasks"],
        ["batches", "job weekly-suggestions, pg_cron entry weekly-suggestions"],
        ["actions", "job execute-scheduled-actions"],
        ["ecosystem", "table public.app_settings"],
      ] as const
    ) {
      const { message } = await refused(sql, first(pack));
      assert.equal(message.split(/Daybook's: |; /)[1], named, pack);
    }
  }, { packs: "core" }));

Deno.test("a pack whose things are there already is not installed a second time", () =>
  withDatabase(async ({ sql }) => {
    await applyMigrations(sql, migrations.slice(0, 1));
    const { message } = await refused(sql, first("scheduler"));
    assert.match(message, /schema scheduler, table public\.scheduler_activity/);
  }, { packs: "none" }));

Deno.test("guardOf() asks for nothing where nothing is made", () => {
  assert.equal(guardOf("devices", {}), "");
  assert.equal(guardOf("devices", { table: [] }), "");
});
