// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { compareCatalogues, readCatalogue } from "../../../local/catalogue.ts";
import { withDatabase } from "../../support/database.ts";
import { installation } from "../../support/installation.ts";

/** A scheduler as people have built it by hand, with the names of Daybook's. */
const HAND_MADE = `
create extension pg_trgm with schema extensions;
create schema scheduler;
create type public.scheduler_locks as enum ('open', 'closed');
create table public.scheduler_runs (id bigserial primary key, job text not null unique, ok boolean);
create index scheduler_runs_active_idx on public.scheduler_runs (ok);
insert into public.scheduler_runs (job, ok) values ('nightly', true);
create table public.scheduler_state (id boolean primary key default true, last_daily_run_key text);
insert into public.scheduler_state (last_daily_run_key) values ('2026-03-05');
create table public.batch_jobs (id uuid primary key, status text);
create view public.app_settings as select 'a' as key, 1 as value;
create function public.try_mark_daily_run(p_today_key text) returns jsonb language sql as $$ select '{}'::jsonb $$;
create function public.resume_stuck_batch_job(p_job_id uuid) returns void language sql as 'select 1';
create table public.scheduler_report (run_id bigint references public.scheduler_runs (id));
select cron.schedule('system-health', '*/5 * * * *', 'select 1');
select cron.schedule('daily-batch-trigger', '0 9 * * *', 'select 2');
select cron.schedule('mine', '0 0 * * *', 'select 3');
select cron.alter_job(cron.schedule('batch-reconciler', '*/2 * * * *', 'select 2'), active := false);
`;
const PACKS = ["ecosystem", "batches"];

async function entries(sql: Sql): Promise<Record<string, string>> {
  const rows = await sql`
    select jobname, schedule, command, active from cron.job
    where command in ('select 1', 'select 2', 'select 3') order by 1`;
  return Object.fromEntries(
    rows.map((row) => [row.jobname, `${row.schedule} ${row.command}${row.active ? "" : " (off)"}`]),
  );
}

Deno.test("--move-aside renames conflicting objects and stops their entries, and Daybook is installed as on an empty database", () =>
  withDatabase(async ({ sql }) => {
    let fresh: string[] = [];
    await withDatabase(async ({ sql }) => {
      await sql`create extension pg_trgm with schema extensions`;
      await (await installation(sql)).install(PACKS);
      fresh = await readCatalogue(sql);
    }, { packs: "none" });
    await sql.unsafe(HAND_MADE);
    await (await installation(sql)).install(PACKS, { aside: true });
    const now = await readCatalogue(sql);
    const isTheirs = (line: string) =>
      /before_daybook|scheduler_report|entry of pg_cron: mine/.test(line);
    assert.deepEqual(compareCatalogues(fresh, now).filter((line) => !isTheirs(line)), []);
    assert.deepEqual(await entries(sql), {
      "batch-reconciler_before_daybook_off": "*/2 * * * * select 2 (off)",
      "daily-batch-trigger_before_daybook": "0 9 * * * select 2 (off)",
      mine: "0 0 * * * select 3",
      "system-health_before_daybook": "*/5 * * * * select 1 (off)",
    });
    const [theirs] = await sql`
      select (select job from scheduler_runs_before_daybook) as job,
        (select key from app_settings_before_daybook) as key,
        to_regprocedure('try_mark_daily_run_before_daybook(text)') is not null as function`;
    assert.deepEqual({ ...theirs }, { job: "nightly", key: "a", function: true });
  }, { packs: "none" }));

Deno.test("uninstalling names back what was moved aside, to the letter", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(HAND_MADE);
    const before = await readCatalogue(sql);
    const project = await installation(sql);
    await project.install(PACKS, { aside: true });
    await project.uninstall([], { dropLedger: true });
    assert.deepEqual(compareCatalogues(before, await readCatalogue(sql)), []);
    const [row] = await sql`insert into scheduler_runs (job) values ('next') returning id::int`;
    assert.equal(row!.id, 2);
  }, { packs: "none" }));

/** A scheduler that marks its days in scheduler_state: what uses the table, itself and through others, and what does not. */
const MARKS_DAYS = `
create extension pg_trgm with schema extensions;
create table public.scheduler_state (last_daily_run_key text);
create function public.try_mark_daily_run(p_today_key text) returns boolean language sql as
  'insert into Scheduler_State (last_daily_run_key) values (p_today_key) returning true';
create function public.trigger_daily_batch(p_day text) returns boolean language sql as
  'select public.try_mark_daily_run(p_day)';
create function public.nightly() returns boolean language sql as 'select try_mark_daily_run(current_date::text)';
create function public.scheduler_heartbeat_run() returns text language sql as $$ select 'my_scheduler_state_2' $$;
create schema scheduler;
create function scheduler.last_day() returns text language sql as
  'select max(last_daily_run_key) from public.scheduler_state';
create schema batches;
create function batches.count() returns integer language sql as 'select 1';
select cron.schedule('daily-batch-trigger', '0 9 * * *', 'select public.nightly()');
select cron.schedule('weekly-suggestions', '0 9 * * 1', 'select scheduler.last_day()');
select cron.schedule('batch-reconciler', '*/2 * * * *', 'select batches.count()');
`;

Deno.test("what uses a table whose name the ledger keeps waits with the table, until the ledger is dropped", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(MARKS_DAYS);
    const before = await readCatalogue(sql);
    const project = await installation(sql);
    await project.install(["batches"], { aside: true });
    await project.uninstall([]);
    const [there] = await sql`
      select array(select proname::text from pg_proc where pronamespace = 'public'::regnamespace order by 1) as functions,
        array(select nspname::text from pg_namespace where nspname ~ '^(scheduler|batches)' order by 1) as schemas,
        array(select jobname || case when active then '' else ' (off)' end from cron.job order by 1) as entries`;
    assert.deepEqual({ ...there }, {
      functions: [
        "nightly",
        "scheduler_heartbeat_run",
        "trigger_daily_batch_before_daybook",
        "try_mark_daily_run_before_daybook",
      ],
      schemas: ["batches", "scheduler_before_daybook"],
      entries: [
        "batch-reconciler",
        "daily-batch-trigger_before_daybook (off)",
        "weekly-suggestions_before_daybook (off)",
      ],
    });
    await project.uninstall([], { dropLedger: true });
    assert.deepEqual(compareCatalogues(before, await readCatalogue(sql)), []);
    assert.deepEqual([...await sql`select jobname from cron.job where not active`], []);
  }, { packs: "none" }));

Deno.test("a function that uses a table of a core that stays waits when its pack goes, and comes back with the core's end", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(MARKS_DAYS);
    const before = await readCatalogue(sql);
    const project = await installation(sql);
    await project.install(["batches"], { aside: true });
    await project.uninstall(["batches"]);
    const [there] = await sql`
      select to_regprocedure('trigger_daily_batch(text)') as back, to_regnamespace('batches')::text as schema`;
    assert.deepEqual({ ...there }, { back: null, schema: "batches" });
    await project.uninstall([], { dropLedger: true });
    assert.deepEqual(compareCatalogues(before, await readCatalogue(sql)), []);
  }, { packs: "none" }));

Deno.test("what refused migrations say leads to an installed Daybook, and the migrations do so from the start, too", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(HAND_MADE);
    const project = await installation(sql);
    project.write(PACKS);
    const moved: string[] = [];
    for (;;) {
      const refused = await project.push().then(() => null, (error) => error.cause);
      if (refused === null) break;
      const [, pack] = /deno task install <project> --pack (\S+) --move-aside$/.exec(
        refused.message,
      )!;
      assert.ok(!moved.includes(pack!), refused.message);
      moved.push(pack!);
      project.write([pack!], { aside: true });
    }
    assert.deepEqual(moved, ["scheduler", "ecosystem", "batches"]);
    const there = await readCatalogue(sql);
    const [mark] = await sql`select last_daily_run_key from scheduler_state`;
    assert.equal(mark!.last_daily_run_key, "2026-03-05");
    await withDatabase(async ({ sql }) => {
      await sql.unsafe(HAND_MADE);
      await project.push(sql);
      assert.deepEqual(compareCatalogues(there, await readCatalogue(sql)), []);
    }, { packs: "none" });
    await project.uninstall([], { dropLedger: true });
    assert.equal((await sql`select job from scheduler_runs`)[0]!.job, "nightly");
  }, { packs: "none" }));

Deno.test("--move-aside renames nothing of a pack that the database has", () =>
  withDatabase(async ({ sql }) => {
    const project = await installation(sql);
    await project.install(["batches"]);
    await sql`select try_mark_daily_run('2026-03-05', 'acme')`;
    const before = await readCatalogue(sql);
    await project.install(["scheduler", "batches"], { aside: true });
    assert.deepEqual(compareCatalogues(before, await readCatalogue(sql)), []);
  }, { packs: "none" }));

Deno.test("tables moved aside for a pack come back when it goes, unless the ledger has their name", () =>
  withDatabase(async ({ sql }) => {
    await sql.unsafe(HAND_MADE);
    const project = await installation(sql);
    await project.install(["batches"], { aside: true });
    await project.uninstall(["batches"]);
    const tables = async () => {
      const [row] = await sql`
        select to_regclass('batch_jobs')::text as jobs, to_regclass('batch_jobs_before_daybook')::text as aside,
          to_regclass('scheduler_runs_before_daybook')::text as runs`;
      return { ...row };
    };
    assert.deepEqual(await tables(), {
      jobs: "batch_jobs",
      aside: null,
      runs: "scheduler_runs_before_daybook",
    });
    assert.equal((await entries(sql))["daily-batch-trigger"], "0 9 * * * select 2");
    await project.uninstall([]);
    assert.equal((await tables()).runs, "scheduler_runs_before_daybook");
    assert.equal((await sql`select to_regclass('scheduler_locks_pkey') as gone`)[0]!.gone, null);
  }, { packs: "none" }));

/** A hand-made scheduler_state, and the marks that Daybook has after it. */
const STATES: [string, string, Record<string, string>][] = [
  [
    "one row with a text",
    `create table public.scheduler_state (last_daily_run_key text);
     insert into public.scheduler_state values ('2026-03-05'), ('2026-03-04'), (null)`,
    { global: "2026-03-05" },
  ],
  [
    "a date",
    `create table public.scheduler_state (id integer, last_daily_run_key date);
     insert into public.scheduler_state values (1, '2026-03-05')`,
    { global: "2026-03-05" },
  ],
  [
    "a moment",
    `create table public.scheduler_state (last_daily_run_key text);
     insert into public.scheduler_state values ('2026-03-05T09:00:00-05:00')`,
    { global: "2026-03-05" },
  ],
  [
    "scopes",
    `create table public.scheduler_state (scope text, last_daily_run_key text);
     insert into public.scheduler_state values ('global', '2026-03-05'), ('acme', '2026-03-06')`,
    { acme: "2026-03-06", global: "2026-03-05" },
  ],
  [
    "what is no day, and days to come",
    `create table public.scheduler_state (last_daily_run_key text);
     insert into public.scheduler_state values (''), ('never'), ('9999-01-01')`,
    {},
  ],
  ["no such column", "create table public.scheduler_state (key text, value text)", {}],
  ["no such table", "create table public.scheduler_runs (id integer)", {}],
];

Deno.test("last_daily_run_key is taken over from any hand-made scheduler_state that has it", async () => {
  for (const [what, made, marks] of STATES) {
    await withDatabase(async ({ sql }) => {
      await sql.unsafe(made);
      await (await installation(sql)).install(["scheduler"], { aside: true });
      const rows = await sql`select scope, last_daily_run_key from scheduler_state order by 1`;
      assert.deepEqual(
        Object.fromEntries(rows.map((row) => [row.scope, row.last_daily_run_key])),
        marks,
        what,
      );
    }, { packs: "none" });
  }
});

Deno.test("a day that the hand-made system has run is not run again", () =>
  withDatabase(async ({ sql }) => {
    const [{ today }] =
      await sql`select to_char(now() at time zone 'UTC', 'YYYY-MM-DD') as today` as unknown as [
        { today: string },
      ];
    await sql`create table public.scheduler_state (last_daily_run_key text)`;
    await sql`insert into public.scheduler_state values (${today})`;
    await (await installation(sql)).install(["batches"], { aside: true });
    const [row] = await sql`select try_mark_daily_run(${today}) as marked`;
    assert.deepEqual(row!.marked, { updated: false, previous_key: today, new_key: today });
  }, { packs: "none" }));

Deno.test("after an uninstall that kept the ledger Daybook is installed again with the old one aside", () =>
  withDatabase(async ({ sql }) => {
    const project = await installation(sql);
    await project.install(["scheduler"]);
    await sql`select scheduler.run_now('system-health', 'ann')`;
    await sql`select try_mark_daily_run('2026-03-05', 'acme')`;
    await project.uninstall([]);
    await project.install(["scheduler"], { aside: true });
    const [row] = await sql`
      select (select count(*)::int from scheduler_runs_before_daybook where trigger = 'manual') as before,
        (select count(*)::int from scheduler_runs) as now,
        (select last_daily_run_key from scheduler_state where scope = 'acme') as day`;
    assert.deepEqual({ ...row }, { before: 1, now: 0, day: "2026-03-05" });
  }, { packs: "none" }));
