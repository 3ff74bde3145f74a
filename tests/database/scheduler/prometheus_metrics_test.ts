import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type { Reading } from "../../../supabase/functions/prometheus-metrics/reading.ts";
import { loadSeed } from "../../../local/migrations.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import {
  addDevices,
  addRows,
  asService,
  base,
  hourMs,
  random,
  runJob,
} from "../../support/device-metrics.ts";
import { insertDevices, insertPopEvents } from "../../support/prometheus-metrics.ts";
import * as t from "../../support/scheduler.ts";

const read = async (sql: Sql, now?: Date): Promise<Reading> =>
  await t.value(
    sql,
    now ? "scheduler.prometheus_metrics($1)" : "public.prometheus_metrics()",
    now ? [now] : [],
  );

/** The sums of a reading, as numbers; what the rows of the tables give when they are simply counted. */
const sums = ({ fleet }: Reading) => ({
  devices: Number(fleet.devices),
  charging: Number(fleet.charging_sessions),
  pop: Number(fleet.pop_events),
  validated: Number(fleet.pop_events_validated),
  rejected: Number(fleet.pop_events_rejected),
  points: Number(fleet.pop_points),
  commands: Number(fleet.commands),
});

async function counted(sql: Sql): Promise<ReturnType<typeof sums>> {
  const [row] = await sql`
    select (select count(*) from devices)::int as devices,
      (select count(*) from charging_sessions)::int as charging,
      (select count(*) from pop_events_ledger)::int as pop,
      (select count(*) from pop_events_ledger where status = 'validated')::int as validated,
      (select count(*) from pop_events_ledger where status = 'rejected')::int as rejected,
      (select coalesce(sum(points), 0) from pop_events_ledger where status = 'validated')::float8 as points,
      (select count(*) from engagement_commands)::int as commands`;
  return { ...row } as ReturnType<typeof sums>;
}

const metricsTest = (name: string, fn: (db: TestDatabase, service: Sql) => Promise<void>) =>
  Deno.test(name, () => withDatabase(async (db) => await fn(db, asService(db))));

metricsTest("an empty database: every figure is zero, and nothing is overdue", async ({ sql }) => {
  await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
  const reading = await read(sql);
  assert.deepEqual(sums(reading), await counted(sql));
  const { jobs, locks_open, pulse_age_seconds } = reading.scheduler;
  assert.deepEqual([jobs, locks_open, pulse_age_seconds], [[], 0, 0]);
  assert.equal(reading.fleet.charging_efficiency_percent, null);
  assert.deepEqual(reading.fleet.commands_by_status, {});
  assert.deepEqual(reading.platform, {
    actions_waiting: 0,
    actions_overdue_seconds: 0,
    occurrences_by_status: {},
    api_keys: [],
    open_code_failure_causes: 0,
    pending_code_fix_proposals: 0,
  });
});

metricsTest(
  "on the demo data the figures are what a plain count gives",
  async ({ sql }, service) => {
    await loadSeed(sql);
    await runJob(service);
    await runJob(service, { granularity: "day" });
    const reading = await read(service);
    assert.deepEqual(sums(reading), await counted(sql));
    assert.ok(sums(reading).pop > 0 && sums(reading).commands > 0 && sums(reading).charging > 0);
    const [{ online }] = await sql`
    select count(*)::int as online from devices where status = 'online'` as unknown as [
      { online: number },
    ];
    assert.equal(reading.fleet.active_devices, online);
    const statuses = await sql`
    select status, count(*)::int as count from engagement_commands
    where issued_at > now() - interval '24 hours' group by status`;
    assert.deepEqual(
      reading.fleet.commands_by_status,
      Object.fromEntries(statuses.map(({ status, count }) => [status, count])),
    );
  },
);

metricsTest(
  "the daily batch: what is due, open, ended and failing",
  async ({ sql, admin }) => {
    await sql`update scheduler_settings set value = '"UTC"' where key = 'daily_batch.time_zone'`;
    // The move of the platform left a mark of today.
    await sql`delete from scheduler_state`;
    const now = new Date("2026-03-02T05:00:00Z");
    const batches = async (at = now) => (await read(sql, at)).batches;
    assert.deepEqual(await batches(), {
      not_begun_seconds: 0,
      open: 0,
      oldest_open_seconds: 0,
      tasks_by_status: { completed: 0, failed: 0 },
      failures_in_row: {},
    });
    await admin.unsafe(`
    insert into organizations (id, name, created_at) values ('00000000-0000-0000-0000-0000000000b1', 'Acme', '2026-01-01');
    insert into prompts (organization_id, text) select id, 'Question?' from organizations;
    insert into batch_providers (name, model, api_url_variable, api_key_variable, failures_in_row, enabled) values
      ('one', 'm', 'ONE_URL', 'ONE_KEY', 7, true), ('two', 'm', 'TWO_URL', 'TWO_KEY', 7, false);
    insert into batch_jobs (organization_id, batch_date, time_zone, status, tasks_total, tasks_completed, tasks_failed, created_at, completed_at)
    select id, date, 'UTC', status, 5, completed, failed, '2026-03-02T04:00:00Z', ended::timestamptz from organizations, (values
      (date '2026-03-01', 'partial', 3, 2, '2026-03-02T04:30:00Z'), ('2026-02-28', 'completed', 5, 0, '2026-03-01T04:59:00Z'),
      ('2026-02-27', 'cancelled', 1, 1, '2026-03-02T04:30:00Z'), ('2026-02-26', 'running', 1, 1, null)) as jobs (date, status, completed, failed, ended)`);
    assert.deepEqual(await batches(), {
      not_begun_seconds: 7200,
      open: 1,
      oldest_open_seconds: 3600,
      tasks_by_status: { completed: 3, failed: 2 },
      failures_in_row: { one: 7 },
    });
    // A scrape does not fail over a setting that the processor fails over.
    await admin`update scheduler_settings set value = '0' where key = 'batch_processor.failures_to_open'`
      .catch(() => {});
    await sql`insert into scheduler_state (scope, last_daily_run_key) values ('global', '2026-03-02')`;
    assert.equal((await batches()).not_begun_seconds, 0);
    await sql`update organizations set time_zone = 'Asia/Tokyo'`;
    await sql`update organizations set next_batch_at = '2026-03-02T04:59:00Z'`;
    assert.equal((await batches()).not_begun_seconds, 60);
  },
);

metricsTest(
  "actions, API keys and failing code of the demo data are what a plain count gives",
  async ({ sql, admin }) => {
    await loadSeed(sql);
    const now = new Date();
    await admin`update api_key_health set expires_at = ${new Date(
      now.getTime() + 60_000,
    )} where provider = 'github'`;
    await admin`update scheduled_action_occurrences set finished_at = ${now}::timestamptz - interval '59 minutes'
      where idempotency_key in (select idempotency_key from scheduled_action_occurrences limit 2)`;
    const { platform } = await read(sql, now);
    const [row] = await sql`
      select (select count(*) from scheduled_actions where status = 'scheduled')::int as waiting,
        (select coalesce(json_object_agg(status, count), '{}') from (
          select status, count(*) from scheduled_action_occurrences
          where finished_at > ${now}::timestamptz - interval '1 hour' group by status) as ended) as ended,
        (select count(*) from code_failure_causes where status = 'open')::int as causes,
        (select count(*) from code_fix_proposals where status = 'pending')::int as proposals,
        (select json_agg(json_build_array(provider, key_name, status) order by provider, key_name)
          from api_key_health) as keys`;
    assert.ok(row!.waiting > 0 && Object.keys(row!.ended).length > 0 && row!.keys.length > 0);
    assert.deepEqual(platform.actions_waiting, row!.waiting);
    assert.deepEqual(platform.occurrences_by_status, row!.ended);
    assert.deepEqual(platform.open_code_failure_causes, row!.causes);
    assert.deepEqual(platform.pending_code_fix_proposals, row!.proposals);
    assert.deepEqual(platform.api_keys.map((key) => key.slice(0, 3)), row!.keys);
    assert.equal(platform.api_keys.find(([provider]) => provider === "github")?.[3], 60);

    await admin`update scheduled_actions set next_attempt_at = ${now}::timestamptz + interval '1 day'
      where status = 'scheduled'`;
    assert.equal((await read(sql, now)).platform.actions_overdue_seconds, 0);
    const later = new Date(now.getTime() + 86_430_000);
    assert.equal((await read(sql, later)).platform.actions_overdue_seconds, 30);
  },
);

metricsTest(
  "days, hours and raw rows together count each row once, whatever of them is computed",
  async ({ sql, admin }, service) => {
    const roll = random(7);
    const devices = await addDevices(sql, roll, 5);
    await addRows(sql, roll, devices, 300);
    const expected = await counted(sql);
    assert.equal(
      sums(await read(service)).pop,
      0,
      "old rows are not looked at before their hours are listed",
    );
    await runJob(service, { granularity: "hour" });
    assert.deepEqual(sums(await read(service)), expected, "hours alone");
    await runJob(service, { granularity: "day" });
    assert.deepEqual(sums(await read(service)), expected, "days");

    // Some days have to be computed again; some hours of others are on the list, with and without a row.
    await admin`update device_metrics_periods set pending = true
    where granularity = 'day' and period_start = ${new Date(base + 24 * hourMs)}`;
    assert.deepEqual(sums(await read(service)), expected, "the hours of a day that is pending");
    await admin`update device_metrics_periods set pending = true
    where granularity = 'hour' and period_start >= ${new Date(
      base + 30 * hourMs,
    )} and period_start < ${new Date(base + 40 * hourMs)}`;
    await admin`delete from device_metrics_summary
    where granularity = 'hour' and period_start >= ${new Date(
      base + 30 * hourMs,
    )} and period_start < ${new Date(base + 35 * hourMs)}`;
    assert.deepEqual(
      sums(await read(service)),
      expected,
      "hours that have no row are counted row by row",
    );

    // As if the aggregation had stopped in the middle of the second day.
    await admin`update device_metrics_state set next_hour = ${new Date(base + 33 * hourMs)}`;
    assert.deepEqual(sums(await read(service)), expected, "everything from next_hour on");
    assert.ok((await read(service)).fleet.summarized_age_seconds > 24 * 3600);
  },
);

metricsTest("rows of the open hour are counted at once", async ({ sql }, service) => {
  await runJob(service);
  const [device] = await insertDevices(sql, 1);
  const before = sums(await read(service));
  await insertPopEvents(sql, device!, new Date(), { validated: 3, rejected: 1, pending: 2 });
  const { pop, validated, rejected, points } = sums(await read(service));
  assert.deepEqual([pop, validated, rejected, points], [
    before.pop + 6,
    before.validated + 3,
    before.rejected + 1,
    30,
  ]);
});

metricsTest(
  "the sums do not go back when old raw rows and device rows of the summary are pruned",
  async ({ sql, admin }, service) => {
    const roll = random(8);
    const devices = await addDevices(sql, roll, 5);
    await addRows(sql, roll, devices, 200);
    await runJob(service);
    await runJob(service, { granularity: "day" });
    const before = sums(await read(service));
    await sql`select aggregate_device_metrics_freeze(${new Date(base + 96 * hourMs)})`;
    for (const table of ["charging_sessions", "pop_events_ledger", "engagement_commands"]) {
      await admin.unsafe(`delete from ${table}`);
    }
    await admin`delete from device_metrics_summary where device_id is not null`;
    await admin`delete from device_metrics_periods where period_start < ${new Date(
      base + 96 * hourMs,
    )}`;
    assert.deepEqual(sums(await read(service)), before);
    // The notes of the deletion are taken, and nothing is computed anew: these figures are final.
    await runJob(service);
    await runJob(service, { granularity: "day" });
    assert.deepEqual(sums(await read(service)), before);
  },
);

metricsTest(
  "charging efficiency is that of the last day that is summarized, weighted by energy",
  async ({ sql, admin }, service) => {
    const [device] = await insertDevices(sql, 1);
    const hour = Math.floor(Date.now() / hourMs) * hourMs;
    const charge = async (hoursAgo: number, wattHours: number, percent: number | null) =>
      await sql`insert into charging_sessions (device_id, status, started_at, ended_at, energy_wh, efficiency_percent)
      values (${device!}, 'completed', ${new Date(hour - hoursAgo * hourMs + 60_000)},
        ${new Date(hour - hoursAgo * hourMs + 120_000)}, ${wattHours}, ${percent})`;
    await charge(3, 30, 90);
    await charge(2, 10, 50);
    await charge(2, 70, null);
    await charge(30, 500, 10);
    await runJob(service);
    assert.equal((await read(service)).fleet.charging_efficiency_percent, 80);
    await admin`delete from charging_sessions where energy_wh <= 30`;
    await runJob(service);
    assert.equal((await read(service)).fleet.charging_efficiency_percent, null);
  },
);

t.ledgerTest(
  "a job is overdue from its occurrence on, unless it is paused or disabled",
  async ({ sql }) => {
    const job = async (now: Date) => (await read(sql, now)).scheduler.jobs[0]!.slice(1, 4);
    await t.register(sql, "job");
    assert.deepEqual(await job(t.NOON), [true, false, 0]);
    assert.deepEqual(await job(t.after(2.5)), [true, false, 150]);
    await sql`select scheduler.pause('job', 'why', 'who', ${t.after(60)}, ${t.after(3)})`;
    assert.deepEqual(await job(t.after(4)), [true, true, 0]);
    assert.deepEqual(await job(t.after(61)), [true, false, 3660], "the pause is over");
    await t.register(sql, "job", { enabled: false });
    assert.deepEqual(await job(t.after(61)), [false, false, 0]);
  },
);

t.ledgerTest("the pulse's age counts from the first job until it has beaten", async ({ sql }) => {
  const age = async (now: Date) => (await read(sql, now)).scheduler.pulse_age_seconds;
  await t.register(sql, "job");
  await sql`update scheduler_jobs set created_at = ${t.NOON}`;
  assert.equal(await age(t.after(2)), 120);
  await t.pulse(sql, t.after(3));
  assert.equal(await age(t.after(3.5)), 30);
  assert.equal(await age(t.after(-60)), 0, "a clock that was set back");
});

t.ledgerTest("a scrape reads no row of the ledger, however many there are", async (db) => {
  await t.register(db.sql, "job", { overlap_policy: "allow" });
  const id = (await t.dispatch(db.sql, "job"))!;
  await t.begin(db.sql, id, t.NOON);
  await t.finish(db.sql, id, "completed", t.after(0.1));
  const service = asService(db);
  const reads = async () => {
    await service`select pg_stat_force_next_flush()`;
    const [row] = await db.sql`
      select (coalesce(seq_scan, 0) + coalesce(idx_scan, 0))::int as scans from pg_stat_user_tables
      where relname = 'scheduler_runs'`;
    return row!.scans;
  };
  const before = await reads();
  for (let scrape = 0; scrape < 3; scrape++) {
    assert.equal((await read(service)).scheduler.jobs[0]![5], 1);
  }
  assert.equal(await reads(), before);
  await service`select count(*) from public.scheduler_runs`;
  assert.equal(await reads(), before + 1, "and a read would have been seen");
});
