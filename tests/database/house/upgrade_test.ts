// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { compareCatalogues, readCatalogue } from "../../../local/catalogue.ts";
import { applyMigrations, readMigrations } from "../../../local/migrations.ts";
import { readReleases } from "../../../local/releases.ts";
import type { Sql } from "postgres";
import { withDatabase } from "../../support/database.ts";
import { withSchedulesProject } from "../../support/schedules.ts";
import { assertGoesOn } from "../../support/upgrade.ts";

const folder = new URL("../../upgrade/", import.meta.url);
const dumps = [...Deno.readDirSync(folder)].map(({ name }) => name)
  .filter((name) => name.endsWith(".sql.gz")).sort();

Deno.test("each release has its dump", async () => {
  const released = (await readReleases()).filter(({ date }) => date !== null);
  for (const { version } of released) assert.ok(dumps.includes(`${version}.sql.gz`), version);
  assert.ok(dumps.length > 0);
});

for (const dump of dumps) {
  const version = dump.replace(".sql.gz", "");
  Deno.test(`a database of ${version} in mid-flight is upgraded, and all that was in flight goes on`, async () => {
    let wanted: string[] = [];
    await withDatabase(async ({ sql }) => void (wanted = await readCatalogue(sql)));
    await withDatabase(async ({ sql, admin }) => {
      const text = new TextDecoder().decode(gunzipSync(await Deno.readFile(new URL(dump, folder))));
      await admin.unsafe(text);
      await applyNewer(version, sql);
      const isOfJobs = (line: string) =>
        /^[-+] (row of (public.scheduler_jobs|scheduler.job_sources)|entry of pg_cron)/.test(line);
      const different = compareCatalogues(await readCatalogue(sql), wanted);
      assert.deepEqual(different.filter((line) => !isOfJobs(line)), []);
      await assertGoesOn(sql);
    }, { packs: "none" });
  });
}

Deno.test("an upgrade fills the days of jobs by what the ledger still has whole", async () => {
  await withDatabase(async ({ sql, admin }) => {
    const dump = await Deno.readFile(new URL("0.10.0.sql.gz", folder));
    await admin.unsafe(new TextDecoder().decode(gunzipSync(dump)));
    await sql`delete from scheduler_runs`;
    // Six runs a day for 40 days, some of which began the day before; completed ones older than 14 days are pruned, or were never there.
    await sql`
      insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, scheduled_until, occurrences,
        dispatched_at, started_at, completed_at, duration_ms, verdict, skip_kind, skip_reason)
      select case i % 2 when 0 then 'completed' else 'failed' end, 'job', status, 'manual', at, case when status = 'missed'
          then at end, case when status = 'missed' then 1001 else 1 end,
        begun, begun, at, case when status <> 'missed' then i % 7 * i end,
        case status when 'completed' then 'ok' when 'failed' then 'timed_out' else status end,
        case status when 'missed' then 'misfire_skip' end, case status when 'missed' then 'late' end
      from generate_series(0, 239) as i, lateral (select now() - i * interval '4 hours' as at,
        (array['completed', 'completed', 'failed', 'completed', 'missed'])[1 + i % 5] as status) as runs,
        lateral (select case when status <> 'missed' then at - interval '5 hours' end as begun) as began
      where i < 84 or status <> 'completed'`;
    await sql`insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict)
      values ('nobody', 'completed', 'manual', now(), now(), 'ok')`;
    await applyNewer("0.10.0", sql);
    const filled = await sql`select * from scheduler.job_days order by job_name, day`;
    const since = filled.reduce((least, { day }) => day < least ? day : least, filled[0]!.day);
    const age = (Date.now() - since.getTime()) / 86_400_000;
    assert.ok(age > 12.9 && age < 14.1, `${age} days`);
    // What the trigger would have counted.
    await sql`delete from scheduler.job_days`;
    await sql`select scheduler.count_in_day(runs) from scheduler_runs as runs
      where completed_at >= ${since} and status <> 'missed' and job_name <> 'nobody'`;
    const counted = await sql`select * from scheduler.job_days order by job_name, day`;
    const missed =
      await sql`select job_name, (completed_at at time zone 'UTC')::date as day, sum(occurrences) as amount,
      count(*)::int as rows from scheduler_runs where completed_at >= ${since} and status = 'missed' group by 1, 2`;
    for (const day of counted) {
      const gap = missed.find((one) =>
        one.job_name === day.job_name && one.day.getTime() === day.day.getTime()
      );
      if (gap === undefined) continue;
      day.missed = gap.amount;
      day.failure_rows += gap.rows;
      day.verdicts = { ...day.verdicts, missed: Number(gap.amount) };
    }
    assert.ok(counted.length > 20);
    assert.deepEqual([...filled], [...counted]);
    // And on it goes.
    await sql`insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict)
      values ('completed', 'completed', 'manual', now(), now(), 'ok')`;
    const [today] =
      await sql`select sum(completed)::int as amount from scheduler.job_days where job_name = 'completed'`;
    const before = counted.filter(({ job_name }) => job_name === "completed")
      .reduce((sum, { completed }) => sum + completed, 0);
    assert.equal(today!.amount, before + 1);
  }, { packs: "none" });
});

Deno.test("what people changed in jobs of 0.10.0 is changed by hand after the upgrade", async () => {
  const applied = async (sql: Sql) =>
    Object.fromEntries(
      (await sql`select job_name, source, applied from scheduler.job_sources order by 1`)
        .map(({ job_name, ...noted }) => [job_name, noted]),
    );
  let fresh: Awaited<ReturnType<typeof applied>> = {};
  await withDatabase(async ({ sql }) => void (fresh = await applied(sql)));
  await withDatabase(async ({ sql, url }) => {
    const { older, newer } = await migrationsAround("0.10.0");
    await applyMigrations(sql, older);
    const before =
      await sql`update scheduler_jobs set schedule = '7 7 * * *', time_zone = 'Europe/Berlin',
      target = 'mine', description = 'mine', payload = '{"mine": 1}', timeout_seconds = 7, max_attempts = 7,
      backoff_base_seconds = 7, backoff_cap_seconds = 7, misfire_policy = 'all', misfire_grace_seconds = 7,
      misfire_cap = 7, secret_name = 'mine', run_if = null, enabled = false
      where name <> 'weekly-suggestions' returning name`;
    assert.ok(before.length > 10, String(before.length));
    await sql`select scheduler.unregister_job('weekly-suggestions')`;
    await applyMigrations(sql, newer);
    const { "weekly-suggestions": _, ...left } = fresh;
    assert.deepEqual(await applied(sql), left);
    const [row] =
      await sql`select schedule, max_attempts from scheduler_jobs where name = 'system-health'`;
    assert.deepEqual({ ...row }, { schedule: "7 7 * * *", max_attempts: 7 });
    await withSchedulesProject(url, async (project) => {
      await project.write(
        await Deno.readTextFile(new URL("../../../supabase/schedules.json", import.meta.url)),
      );
      const { changes } = await project.planned();
      assert.ok(changes.length > 9, String(changes.length));
      for (const { becomes, job, fields } of changes) {
        if (job === "weekly-suggestions") assert.equal(becomes, "registered");
        else assert.ok(fields.every(({ by_hand }) => by_hand), job);
      }
    });
  }, { packs: "none" });
});

/** The migrations of the releases up to that one, and of those after it. */
async function migrationsAround(version: string) {
  const releases = await readReleases();
  const at = releases.findIndex((release) => release.version === version);
  const after = new Set(
    releases.slice(at + 1).flatMap(({ migrations }) => Object.keys(migrations)),
  );
  const migrations = await readMigrations();
  const isNewer = ({ version, name }: typeof migrations[number]) =>
    after.has(`${version}_${name}.sql`);
  return {
    older: migrations.filter((migration) => !isNewer(migration)),
    newer: migrations.filter(isNewer),
  };
}

async function applyNewer(version: string, sql: Sql) {
  await applyMigrations(sql, (await migrationsAround(version)).newer);
}
