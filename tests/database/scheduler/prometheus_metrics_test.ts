import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { renderReading } from "../../../supabase/functions/prometheus-metrics/exposition.ts";
import { byLabel, readMetrics, readSamples, samplesOf } from "../../support/exposed-metrics.ts";
import { timeoutsFire } from "../../support/moments.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("without a job every figure is zero, and nothing is overdue", async ({ sql }) => {
  assert.deepEqual(Object.fromEntries(await readSamples(sql)), {
    'scheduler_jobs{state="active"}': 0,
    'scheduler_jobs{state="paused"}': 0,
    'scheduler_jobs{state="disabled"}': 0,
    scheduler_locks_open: 0,
    scheduler_pulse_age_seconds: 0,
    scheduler_pulse_errors: 0,
    scheduler_incident_seconds: 0,
    scheduler_busy: 0,
    'scheduler_alerts_open{severity="critical"}': 0,
    'scheduler_alerts_open{severity="info"}': 0,
    'scheduler_alerts_open{severity="warning"}': 0,
    scheduler_alerts_undelivered: 0,
    scheduler_metric_sources_failed: 0,
  });
});

t.ledgerTest(
  "each counter of a job is in its series, and a histogram is in seconds",
  async ({ sql }) => {
    await t.register(sql, "nightly");
    await t.register(sql, "new", { enabled: false });
    await sql`
      update scheduler.run_counters set completed = 7, failed = 2, skipped = 3, missed = 1, cancelled = 4, lost = 5,
        retries = 6, failed_in_row = 8, missed_in_row = 9, left_out = '{"paused": 2, "misfire_once": 1}',
        last_success_at = ${t.NOON}, duration_counts[2] = 4, duration_counts[3] = 1, duration_sum_ms = 5250,
        fire_lag_counts[1] = 6, fire_lag_sum_ms = 2400
      where job_name = 'nightly'`;
    const samples = await readSamples(sql, t.after(60.25));
    const of = (job: string) =>
      Object.fromEntries(
        [...samples].filter(([series]) =>
          series.includes(`job_name="${job}"`) && !series.includes("_bucket")
        ).map((
          [series, sample],
        ) => [series.replace(`job_name="${job}"`, "").replace("{,", "{"), sample]),
      );
    assert.deepEqual(of("nightly"), {
      'scheduler_runs_total{status="completed"}': 7,
      'scheduler_runs_total{status="failed"}': 2,
      'scheduler_runs_total{status="skipped"}': 3,
      'scheduler_runs_total{status="missed"}': 1,
      'scheduler_runs_total{status="cancelled"}': 4,
      'scheduler_runs_total{status="deferred"}': 0,
      "scheduler_run_duration_seconds_sum{}": 5.25,
      "scheduler_run_duration_seconds_count{}": 5,
      "scheduler_fire_lag_seconds_sum{}": 2.4,
      "scheduler_fire_lag_seconds_count{}": 6,
      "scheduler_last_success_age_seconds{}": 3615,
      'scheduler_occurrences_since_success{status="failed"}': 8,
      'scheduler_occurrences_since_success{status="missed"}': 9,
      'scheduler_skipped_total{reason="paused"}': 2,
      'scheduler_skipped_total{reason="overlap"}': 0,
      'scheduler_skipped_total{reason="queue_full"}': 0,
      'scheduler_skipped_total{reason="misfire_once"}': 1,
      "scheduler_missed_total{}": 1,
      "scheduler_lost_total{}": 5,
      "scheduler_retries_total{}": 6,
      "scheduler_overdue_seconds{}": 3615,
      "scheduler_job_active{}": 1,
      "scheduler_waiting_seconds{}": 0,
    });
    const fresh = of("new");
    for (const name of Object.keys(of("nightly"))) {
      if (!/misfire_once|last_success/.test(name)) assert.equal(fresh[name], 0, name);
    }
    assert.equal(fresh['scheduler_skipped_total{reason="misfire_once"}'], undefined);
    assert.deepEqual(byLabel(samples, "scheduler_jobs"), { active: 1, paused: 0, disabled: 1 });
    const buckets = async (family: string, bounds: string) => {
      const milliseconds: number[] = (await t.value(sql, `scheduler.${bounds}()`)).map(Number);
      const limits = [...milliseconds.map((ms) => String(ms / 1000)), "+Inf"];
      return limits.map((le) => samples.get(`${family}_bucket{job_name="nightly",le="${le}"}`));
    };
    const durations = await buckets("scheduler_run_duration_seconds", "duration_bounds_ms");
    assert.deepEqual(durations, [0, 4, ...durations.slice(2).map(() => 5)]);
    const lags = await buckets("scheduler_fire_lag_seconds", "fire_lag_bounds_ms");
    assert.deepEqual(lags, lags.map(() => 6));
    assert.ok(durations.length > 5 && lags.length > 5);
  },
);

t.ledgerTest("a job that has never succeeded has no age of its last success", async ({ sql }) => {
  await t.register(sql, "job");
  const series = 'scheduler_last_success_age_seconds{job_name="job"}';
  assert.equal((await readSamples(sql, t.after(5))).get(series), undefined);
  await sql`update scheduler.run_counters set last_success_at = ${t.NOON}`;
  assert.equal((await readSamples(sql, t.after(5))).get(series), 300);
  assert.equal((await readSamples(sql, t.after(-5))).get(series), 0, "a clock that was set back");
});

t.ledgerTest(
  "a job is overdue from its occurrence on, unless it is paused or disabled",
  async ({ sql }) => {
    const job = async (now: Date) => {
      const samples = await readSamples(sql, now);
      const states = Object.entries(byLabel(samples, "scheduler_jobs"));
      return [
        states.filter(([, jobs]) => jobs > 0).map(([state, jobs]) => `${jobs} ${state}`).join(),
        samples.get('scheduler_job_active{job_name="job"}'),
        samples.get('scheduler_overdue_seconds{job_name="job"}'),
      ];
    };
    await t.register(sql, "job");
    assert.deepEqual(await job(t.NOON), ["1 active", 1, 0]);
    assert.deepEqual(await job(t.after(2.5)), ["1 active", 1, 150]);
    await sql`select scheduler.pause('job', 'why', 'who', ${t.after(60)}, ${t.after(3)})`;
    assert.deepEqual(await job(t.after(4)), ["1 paused", 0, 0]);
    assert.deepEqual(await job(t.after(61)), ["1 active", 1, 3660], "the pause is over");
    await t.register(sql, "job", { enabled: false });
    assert.deepEqual(await job(t.after(61)), ["1 disabled", 0, 0]);
  },
);

t.ledgerTest("a run holds a lock until it has ended", async ({ sql }) => {
  const locks = async () => (await readSamples(sql, t.NOON)).get("scheduler_locks_open");
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  assert.equal(await locks(), 1);
  await t.begin(sql, id, t.NOON);
  await t.finish(sql, id, "completed", t.after(0.1));
  assert.equal(await locks(), 0);
});

t.ledgerTest("the pulse's age counts from the first job until it has beaten", async ({ sql }) => {
  const age = async (now: Date) => (await readSamples(sql, now)).get("scheduler_pulse_age_seconds");
  await t.register(sql, "job");
  await sql`update scheduler_jobs set created_at = ${t.NOON}`;
  assert.equal(await age(t.after(2)), 120);
  await t.pulse(sql, t.after(3));
  assert.equal(await age(t.after(3.5)), 30);
  assert.equal(await age(t.after(-60)), 0, "a clock that was set back");
});

t.ledgerTest("failed jobs and steps of the last pulse are counted", async ({ sql }) => {
  const errors = async () => (await readSamples(sql)).get("scheduler_pulse_errors");
  await t.pulse(sql, t.NOON);
  assert.equal(await errors(), 0);
  await sql`update scheduler.pulse_state set errors = '{"job a": "why", "step b": "why"}'`;
  assert.equal(await errors(), 2);
});

t.ledgerTest("a scrape reads no row of the ledger, however many there are", async (db) => {
  await t.register(db.sql, "job", { overlap_policy: "allow" });
  const id = (await t.dispatch(db.sql, "job"))!;
  await t.begin(db.sql, id, t.NOON);
  await t.finish(db.sql, id, "completed", t.after(0.1));
  await db.sql`
    insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, completed_at, verdict)
    select 'job', 'job', 'skipped', 'cron', ${t.NOON}::timestamptz - n * interval '1 minute', ${t.NOON}, 'skipped'
    from generate_series(1, 2000) as n`;
  await db.sql`analyze scheduler_runs`;
  const service = db.connect("service_role");
  const reads = async () => {
    // Each session counts for itself, and tells later.
    for (const sql of [service, db.sql]) await sql`select pg_stat_force_next_flush()`;
    const [row] = await db.sql`
      select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as rows from pg_stat_user_tables
      where relname = 'scheduler_runs'`;
    return row!.rows;
  };
  const before = await reads();
  for (let scrape = 0; scrape < 3; scrape++) {
    const samples = await readSamples(service);
    assert.equal(samples.get('scheduler_runs_total{job_name="job",status="completed"}'), 1);
  }
  assert.equal(await reads(), before);
  await service`select count(*) from public.scheduler_runs`;
  assert.equal(await reads(), before + 2001, "and a read would have been seen");
});

/** Sources of a pack of the test's own: two that fail, and after them one that counts its things. */
async function addProbe(sql: Sql) {
  await sql.unsafe(`
    create schema probe;
    create table probe.things (id integer);
    insert into probe.things values (1), (2);
    create function probe.metrics(p_now timestamptz) returns json language sql stable as $$
      select json_build_array(scheduler.metric_group('{}',
        scheduler.metric('probe_things', (select count(*) from probe.things))))
    $$;
    create function probe.broken(p_now timestamptz) returns json language plpgsql stable as $$
    begin
      raise exception 'the sensor is unplugged';
    end;
    $$;
    insert into scheduler.metric_sources (function_name, pack) values
      ('probe.broken', 'probe'), ('probe.missing', 'probe'), ('probe.metrics', 'probe');
    insert into scheduler.metric_families (family, pack, type, help) values
      ('probe_broken', 'probe', 'gauge', 'What nobody can tell.'),
      ('probe_things', 'probe', 'gauge', 'Things.')`);
}

t.ledgerTest("a source that fails is named and counted, and hides no other one", async (db) => {
  await t.register(db.sql, "job");
  await addProbe(db.sql);
  const reading = await readMetrics(db.connect("service_role"));
  assert.deepEqual(Object.keys(reading.errors).sort(), ["probe.broken", "probe.missing"]);
  assert.equal(reading.errors["probe.broken"], "the sensor is unplugged");
  assert.match(reading.errors["probe.missing"]!, /^function probe\.missing\(.*\) does not exist$/);
  const text = renderReading(reading);
  const samples = samplesOf(text);
  assert.equal(samples.get("scheduler_metric_sources_failed"), 2);
  assert.equal(samples.get("probe_things"), 2);
  assert.equal(samples.get('scheduler_job_active{job_name="job"}'), 1);
  assert.match(
    text,
    /^# TYPE probe_broken gauge\n# HELP probe_things/m,
    "a family without samples",
  );

  await db.sql`delete from scheduler.metric_sources where function_name <> 'probe.metrics'`;
  await db.sql`drop function probe.metrics`;
  const alone = samplesOf(renderReading(await readMetrics(db.sql)));
  assert.deepEqual(Object.fromEntries(alone), { scheduler_metric_sources_failed: 1 });
});

t.ledgerTest("a source that gives no groups has failed, too", async ({ sql }) => {
  await addProbe(sql);
  await sql`delete from scheduler.metric_sources where function_name in ('probe.broken', 'probe.missing')`;
  for (const [answer, is] of [["null", "null"], ["'{}'", "object"], ["'7'", "number"]]) {
    await sql.unsafe(`
      create or replace function probe.metrics(p_now timestamptz) returns json language sql stable as $$ select ${answer}::json $$`);
    const reading = await readMetrics(sql);
    assert.match(reading.errors["probe.metrics"] ?? "", new RegExp(`${is}`), answer);
    const samples = samplesOf(renderReading(reading));
    assert.equal(samples.get("scheduler_metric_sources_failed"), 1, answer);
    assert.equal(samples.get("scheduler_locks_open"), 0, answer);
  }
});

t.ledgerTest(
  "a source that waits for a lock is given up after 2 seconds, and the others are shown",
  async (db) => {
    await addProbe(db.sql);
    await db
      .sql`delete from scheduler.metric_sources where function_name in ('probe.broken', 'probe.missing')`;
    const service = db.connect("service_role");
    await db.sql.begin(async (transaction) => {
      await transaction`lock table probe.things in access exclusive mode`;
      const { errors } = await readMetrics(service);
      assert.deepEqual(errors, { "probe.metrics": "canceling statement due to lock timeout" });
    });
    assert.equal((await readSamples(service)).get("probe_things"), 2);
  },
  { ignore: !timeoutsFire },
);

t.ledgerTest(
  "sources and families are rows in the order of a scrape, and a bad name is refused",
  async ({ sql }) => {
    await addProbe(sql);
    const { families } = await readMetrics(sql);
    const names = families.map(({ name }) => name);
    assert.deepEqual(names.slice(-2), ["probe_broken", "probe_things"]);
    assert.equal(names[0], "scheduler_runs_total");
    assert.deepEqual(families.at(-1), { name: "probe_things", type: "gauge", help: "Things." });
    for (const name of ["metrics", "probe.metrics(); select 1", "probe.metrics ", 'probe."x"']) {
      await assert.rejects(
        sql`insert into scheduler.metric_sources (function_name, pack) values (${name}, 'probe')`,
        /metric_sources_function_name_check/,
        name,
      );
    }
    for (const name of ["9things", "Things", "probe-things", 'things{a="b"}']) {
      await assert.rejects(
        sql`insert into scheduler.metric_families (family, pack, type, help) values (${name}, 'probe', 'gauge', '')`,
        /metric_families_family_check/,
        name,
      );
    }
  },
);

t.ledgerTest(
  "only service_role may read the metrics, and only the owner their tables",
  async (db) => {
    for (const role of ["anon", "authenticated"] as const) {
      await assert.rejects(readMetrics(db.connect(role)), /permission denied for function/);
    }
    const service = db.connect("service_role");
    await readMetrics(service);
    await assert.rejects(readMetrics(service, t.NOON), /permission denied for schema scheduler/);
    await assert.rejects(service`select from scheduler.metric_sources`, /permission denied/);
  },
);

t.ledgerTest(
  "the source that docs/jobs/prometheus-metrics.md adds as an example is shown",
  async ({ sql }) => {
    const page = await Deno.readTextFile(
      new URL("../../../docs/jobs/prometheus-metrics.md", import.meta.url),
    );
    const [, example] = /\n## Adding metrics of your own\n[^]*?```sql\n([^]*?)```/.exec(page)!;
    await sql.unsafe(example!);
    const shown = async () =>
      Object.fromEntries(
        [...await readSamples(sql, t.NOON)].filter(([name]) => /^shop_/.test(name)),
      );
    assert.deepEqual(await shown(), {});
    await sql`insert into shop.orders values ('paid', ${t.after(-2)}), ('paid', ${
      t.after(-1)
    }), ('open', ${t.after(-3)})`;
    assert.deepEqual(await shown(), {
      'shop_orders{state="open"}': 1,
      'shop_orders{state="paid"}': 2,
      shop_last_order_age_seconds: 60,
    });
  },
);
