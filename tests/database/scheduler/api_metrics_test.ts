import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { seededRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const windows: Record<string, { length: number; step: number }> = {
  "1h": { length: hour, step: 5 * minute },
  "24h": { length: day, step: hour },
  "7d": { length: 7 * day, step: 6 * hour },
  "30d": { length: 30 * day, step: day },
};

interface Timing {
  average_ms: number | null;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}
type Window = Record<string, number | null> & {
  from: string | null;
  duration: Timing;
  fire_lag: Timing;
};

const metrics = (sql: Sql, now: Date, job: string | null = null, cursor: string | null = null) =>
  t.value(sql, "scheduler.api_metrics($1, $2, $3)", [job, cursor, now]);

async function windowsOf(sql: Sql, now: Date, job = "job"): Promise<Record<string, Window>> {
  const { jobs } = await metrics(sql, now, job);
  return jobs[0].windows;
}

/** A job that runs only when it is asked to, as if it had been registered then: its first roll-up is of that time. */
async function registered(sql: Sql, at: Date, name = "job"): Promise<void> {
  await t.register(sql, name, { schedule: null });
  await sql`update scheduler.rollups set taken_at = ${at} where job_name = ${name}`;
}

/** A run that ends then. */
async function ended(
  sql: Sql,
  at: Date,
  { job = "job", status = "completed", durationMs = 1000, lagMs = 40 }: {
    job?: string;
    status?: string;
    durationMs?: number;
    lagMs?: number;
  } = {},
): Promise<void> {
  const begun = new Date(at.getTime() - durationMs);
  const due = new Date(begun.getTime() - lagMs);
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, dispatched_at, started_at, completed_at,
      duration_ms, verdict, created_at)
    values (${job}, ${status}, 'cron', ${due}, ${begun}, ${begun}, ${at}, ${durationMs},
      ${status === "completed" ? "ok" : "job_error"}, ${due})`;
}

const nothing: Timing = { average_ms: null, p50_ms: null, p95_ms: null, p99_ms: null };

t.ledgerTest(
  "a bound belongs to the bucket below it, and buckets are a quarter wide",
  async ({ sql }) => {
    const bounds: number[] = await t.value(sql, "scheduler.timing_bounds_ms()");
    assert.deepEqual([bounds.length, bounds[0], bounds.at(-1)], [70, 10, 80_000_000]);
    for (const [i, bound] of bounds.entries()) {
      if (i > 0) assert.ok(bound > bounds[i - 1]! && bound <= 1.3 * bounds[i - 1]!, String(bound));
    }
    await registered(sql, t.NOON);
    await ended(sql, t.after(1), { durationMs: 1000, lagMs: 1001 });
    const [counters] = await sql`select durations, fire_lags from scheduler.run_counters`;
    const place = bounds.indexOf(1000);
    assert.deepEqual(
      [counters!.durations, counters!.fire_lags].map((
        counts,
      ) => [counts.length, counts.indexOf(1)]),
      [[71, place], [71, place + 1]],
    );
  },
);

const at = (amounts: Record<number, number>) =>
  Array.from({ length: 71 }, (_, place) => amounts[place] ?? 0);
// The first bounds are 10, 13, 16, 20; the last bucket has none.
const timings: [number[], number[], number, (number | null)[]][] = [
  [at({}), at({}), 0, [null, null, null, null]],
  [at({ 3: 5 }), at({ 3: 5 }), 0, [null, null, null, null]],
  [at({ 0: 1 }), at({}), 4, [5, 9.5, 9.9, 4]],
  [at({ 3: 4 }), at({ 3: 2 }), 36, [18, 19.8, 19.96, 18]],
  [at({ 0: 50, 1: 50 }), at({}), 1000, [10, 12.7, 12.94, 10]],
  [at({ 0: 7, 1: 90, 3: 10 }), at({ 0: 7 }), 1400, [11.667, 18, 19.6, 14]],
  [at({ 1: 90, 70: 10 }), at({}), 9000, [11.667, null, null, 90]],
  [at({ 70: 3 }), at({}), 9000, [null, null, null, 3000]],
];
t.ledgerTest("percentiles of what came to a histogram", async ({ sql }) => {
  for (const [ended, began, sum, expected] of timings) {
    const found: (number | null)[] = await t.value(
      sql,
      "to_jsonb(scheduler.timing($1::integer[], $2::integer[], $3))",
      [ended, began, sum],
    );
    assert.deepEqual(
      found.map((value) => value === null ? null : Math.round(value * 1000) / 1000),
      expected,
    );
  }
});

const steps: [string | null, string, string | null][] = [
  [null, "2026-03-02T12:00:07Z", "1 day"],
  ["2026-03-02T12:00:07Z", "2026-03-02T12:04:59Z", null],
  ["2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z", null],
  ["2026-03-02T12:04:59Z", "2026-03-02T12:05:00Z", "00:05:00"],
  ["2026-03-02T12:55:00Z", "2026-03-02T13:00:01Z", "01:00:00"],
  ["2026-03-02T17:59:00Z", "2026-03-02T18:00:01Z", "06:00:00"],
  ["2026-03-02T12:00:00Z", "2026-03-02T23:59:59Z", "06:00:00"],
  ["2026-03-02T23:59:59Z", "2026-03-03T00:00:00Z", "1 day"],
  ["2026-03-02T12:00:00Z", "2026-03-09T12:00:00Z", "1 day"],
  ["2026-03-02T12:00:01Z", "2026-03-02T12:00:00Z", "1 day"],
];
t.ledgerTest("the longest step that has begun is the one that is due", async ({ sql }) => {
  for (const [last, now, expected] of steps) {
    const found = await t.value(sql, "justify_hours(scheduler.rollup_step($1, $2))::text", [
      last,
      now,
    ]);
    assert.equal(found, expected, `${last} ${now}`);
  }
});

t.ledgerTest(
  "a month of random runs comes to what the ledger says, also once the ledger is pruned",
  async ({ sql }) => {
    const random = seededRandom(Math.floor(Math.random() * 2 ** 32));
    const names = ["one", "two"];
    for (const name of names) await registered(sql, t.NOON, name);
    await sql`update scheduler_settings set value = '90' where key = 'scheduler.keep_successes_days'`;
    const copies: { at: number; step: number }[] = [{ at: t.NOON.getTime(), step: day }];
    let now = t.NOON.getTime();
    let last = 0;
    const end = now + 34 * day;
    while (now < end) {
      const before = now;
      // The pulse stands still for a day once in a while.
      now += random.chance(0.01) ? day : random.whole(1, 90) * minute;
      const runs = Array.from({ length: random.whole(0, 4) }, () => {
        const durationMs = Math.round(10 ** (random.whole(1000, 6500) / 1000));
        const lagMs = random.chance(0.8) ? random.whole(0, 900) : random.whole(0, 40 * hour);
        const completed = before + random.whole(1, now - before - 1);
        const status = random.pick([
          "completed",
          "completed",
          "completed",
          "failed",
          "deferred",
          "cancelled",
        ]);
        const began = status !== "cancelled" || random.chance(0.5);
        return {
          job_name: random.pick(names),
          status,
          verdict: { completed: "ok", failed: random.pick(["lost", "job_error"]) }[status] ??
            status,
          trigger: random.pick(["cron", "cron", "manual"]),
          attempt: random.whole(1, 2),
          scheduled_for: new Date(completed - durationMs - lagMs),
          dispatched_at: began ? new Date(completed - durationMs) : null,
          completed_at: new Date(completed),
          duration_ms: began ? durationMs : null,
        };
      });
      if (runs.length > 0) {
        await sql`insert into scheduler_runs ${sql(runs)}`;
        if (random.chance(0.3)) {
          const at = new Date(before + 1);
          await sql`
            insert into scheduler_runs (job_name, status, trigger, scheduled_for, scheduled_until, occurrences,
              completed_at, verdict, skip_kind, skip_reason)
            values (${random.pick(names)}, 'missed', 'cron', ${at}, ${at}, ${
            random.whole(2, 5)
          }, ${at}, 'missed',
              'misfire_skip', 'a test')`;
        }
      }
      await t.pulse(sql, new Date(now));
      const slot = (time: number, step: number) => Math.floor(time / step);
      const step = Math.max(
        0,
        ...Object.values(windows).map(({ step }) => step)
          .filter((step) => last === 0 || slot(now, step) > slot(last, step)),
      );
      if (step > 0) [last] = [now, copies.push({ at: now, step })];
    }
    const kept = copies.filter(({ at, step: made }) => {
      const { length } = Object.values(windows).find((window) => window.step === made)!;
      return made === day || at >= last - length - 2 * made;
    });
    const rows =
      await sql`select taken_at from scheduler.rollups where job_name = 'one' order by taken_at`;
    assert.deepEqual(rows.map(({ taken_at }) => taken_at.getTime()), kept.map(({ at }) => at));
    const answer = (await metrics(sql, new Date(now))).jobs;
    for (
      const { job, windows: found } of answer as { job: string; windows: Record<string, Window> }[]
    ) {
      for (const [name, { length, step }] of Object.entries(windows)) {
        const what = `${job} ${name}`;
        const { from, duration, fire_lag, success_rate, ...counts } = found[name]!;
        const start = kept.find(({ at }) => at >= now - length - step)!.at;
        assert.equal(Date.parse(from!), start, what);
        const [expected] = await sql`
          select count(*) filter (where status in ('completed', 'failed', 'deferred'))::int as runs,
            count(*) filter (where status = 'completed')::int as completed,
            count(*) filter (where status = 'failed')::int as failed,
            count(*) filter (where status = 'deferred')::int as deferred,
            count(*) filter (where status = 'cancelled')::int as cancelled, 0 as skipped,
            coalesce(sum(occurrences) filter (where status = 'missed'), 0)::int as missed,
            count(*) filter (where verdict = 'lost')::int as lost, 0 as retries
          from scheduler_runs where job_name = ${job} and completed_at > ${from}`;
        assert.deepEqual(counts, { ...expected }, what);
        const { completed, failed } = counts as Record<string, number>;
        const judged = completed! + failed!;
        assert.equal(
          success_rate,
          judged === 0 ? null : Math.round(completed! / judged * 1e4) / 1e4,
          what,
        );
        const rows = await sql`
          select duration_ms, trigger, attempt, extract(epoch from dispatched_at - scheduled_for)::float8 * 1000 as lag
          from scheduler_runs where job_name = ${job} and completed_at > ${from} and duration_ms is not null`;
        assertTiming(duration, rows.map((row) => row.duration_ms), what);
        const firsts = rows.filter((row) => row.trigger === "cron" && row.attempt === 1);
        assertTiming(fire_lag, firsts.map((row) => row.lag), what);
      }
    }
    await sql`select scheduler.prune(${new Date(now + 400 * day)})`;
    const left = await sql`select from scheduler_runs where completed_at is not null`;
    assert.equal(left.length, 0);
    assert.deepEqual((await metrics(sql, new Date(now))).jobs, answer);
  },
);

/** Percentiles lie in the bucket of the true one; the average is true. */
function assertTiming(found: Timing, values: number[], what: string): void {
  const sorted = values.map(Math.round).sort((a, b) => a - b);
  const average = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
  if (sorted.length === 0) assert.equal(found.average_ms, null, what);
  else {assert.ok(
      Math.abs(found.average_ms! - average) <= 0.5,
      `${what}: ${found.average_ms}, in truth ${average}`,
    );}
  for (const [key, share] of [["p50_ms", 0.5], ["p95_ms", 0.95], ["p99_ms", 0.99]] as const) {
    const value = sorted[Math.ceil(share * sorted.length) - 1];
    if (value === undefined || value > 80_000_000) assert.equal(found[key], null, `${what} ${key}`);
    else {
      const [low, high] = [Math.min(value / 1.31, value - 11), Math.max(value * 1.31, value + 11)];
      const message = `${what} ${key}: ${found[key]}, in truth ${value}`;
      assert.ok(found[key]! >= low && found[key]! <= high, message);
    }
  }
}

t.ledgerTest("a job that was registered an hour ago is told of since then", async ({ sql }) => {
  await registered(sql, t.after(-55));
  await ended(sql, t.after(-54), { durationMs: 900 });
  await t.pulse(sql, t.after(-53));
  await ended(sql, t.after(-1), { status: "failed" });
  for (const [name, window] of Object.entries(await windowsOf(sql, t.NOON))) {
    assert.equal(Date.parse(window.from!), t.after(-55).getTime(), name);
    assert.deepEqual(
      [window.runs, window.success_rate, window.duration.average_ms],
      [2, 0.5, 950],
      name,
    );
  }
});

t.ledgerTest(
  "a job without runs has zeros, and nulls where there is nothing to tell",
  async ({ sql }) => {
    await registered(sql, t.after(-600));
    await t.pulse(sql, t.after(-30));
    const { from, ...rest } = (await windowsOf(sql, t.NOON))["24h"]!;
    assert.equal(Date.parse(from!), t.after(-600).getTime());
    assert.deepEqual(rest, {
      runs: 0,
      completed: 0,
      failed: 0,
      deferred: 0,
      success_rate: null,
      cancelled: 0,
      skipped: 0,
      missed: 0,
      lost: 0,
      retries: 0,
      duration: nothing,
      fire_lag: nothing,
    });
  },
);

t.ledgerTest("where there is no roll-up yet nothing is told", async ({ sql }) => {
  await registered(sql, t.NOON);
  // As after an upgrade.
  await sql`delete from scheduler.rollups`;
  await ended(sql, t.after(1));
  const unknown = (await windowsOf(sql, t.after(2)))["1h"]!;
  const { duration, fire_lag, ...counts } = unknown;
  assert.deepEqual([duration, fire_lag], [nothing, nothing]);
  assert.deepEqual(Object.values(counts).filter((value) => value !== null), []);
  await t.pulse(sql, t.after(2));
  await ended(sql, t.after(3));
  const known = (await windowsOf(sql, t.after(4)))["30d"]!;
  assert.deepEqual([Date.parse(known.from!), known.runs], [t.after(2).getTime(), 1]);
});

t.ledgerTest("a job that is registered again begins anew", async ({ sql }) => {
  await registered(sql, t.after(-600));
  for (const minutes of [-500, -400, -30]) {
    await ended(sql, t.after(minutes));
    await t.pulse(sql, t.after(minutes + 1));
  }
  await sql`select scheduler.unregister_job('job')`;
  assert.equal((await sql`select from scheduler.rollups`).length, 0);
  assert.deepEqual((await metrics(sql, t.after(-20))).jobs, []);
  await registered(sql, t.after(-20));
  await ended(sql, t.after(-10));
  const found = (await windowsOf(sql, t.NOON))["24h"]!;
  assert.deepEqual([Date.parse(found.from!), found.runs], [t.after(-20).getTime(), 1]);
});

t.ledgerTest("counters that somebody lowers have no past", async ({ sql }) => {
  await registered(sql, t.after(-600));
  await ended(sql, t.after(-500));
  await t.pulse(sql, t.after(-400));
  await sql`update scheduler.run_counters set completed = 0, duration_sum_ms = 0`;
  assert.equal((await windowsOf(sql, t.after(-390)))["24h"]!.from, null);
  await t.pulse(sql, t.after(-380));
  await ended(sql, t.after(-10));
  const found = (await windowsOf(sql, t.NOON))["24h"]!;
  assert.deepEqual([Date.parse(found.from!), found.runs], [t.after(-380).getTime(), 1]);
});

t.ledgerTest("a clock that was ahead leaves no roll-ups of a time to come", async ({ sql }) => {
  await registered(sql, t.after(-600));
  await registered(sql, t.after(24 * 60), "early");
  assert.equal((await windowsOf(sql, t.NOON, "early"))["30d"]!.from, null);
  await t.pulse(sql, t.after(-90));
  await ended(sql, t.after(-80));
  await t.pulse(sql, t.after(24 * 60));
  await ended(sql, t.after(-10));
  // Back again, and before the next pulse.
  assert.equal((await windowsOf(sql, t.NOON))["24h"]!.runs, 2);
  await t.pulse(sql, t.after(1));
  assert.equal((await sql`select from scheduler.rollups where taken_at > ${t.after(1)}`).length, 0);
  await ended(sql, t.after(2));
  const found = await windowsOf(sql, t.after(3));
  assert.deepEqual([found["24h"]!.runs, found["1h"]!.runs], [3, 1]);
  assert.equal(Date.parse(found["1h"]!.from!), t.after(1).getTime());
});

t.ledgerTest("the pulse rolls up every five minutes, once", async ({ sql }) => {
  await registered(sql, t.after(-600));
  for (let seconds = 0; seconds < 11 * 60; seconds += 10) await t.pulse(sql, t.after(seconds / 60));
  const rows = await sql`select taken_at from scheduler.rollups order by taken_at`;
  assert.deepEqual(rows.map(({ taken_at }) => (taken_at.getTime() - t.NOON.getTime()) / minute), [
    -600,
    0,
    5,
    10,
  ]);
  await sql`select scheduler.roll_up(${t.after(10)})`;
  assert.equal((await sql`select from scheduler.rollups`).length, 4, "safe to call twice");
});

t.ledgerTest("a job that is being taken out is not waited for", async (db) => {
  const { sql } = db;
  await registered(sql, t.after(-600));
  await registered(sql, t.after(-600), "other");
  const open = await sql.reserve();
  await open`begin`;
  await open`select scheduler.unregister_job('job')`;
  assert.deepEqual((await t.pulse(t.impatient(db), t.NOON)).errors, {});
  await open`commit`;
  open.release();
  const rows = await sql`select job_name from scheduler.rollups where taken_at = ${t.NOON}`;
  assert.deepEqual(rows.map(({ job_name }) => job_name), ["other"]);
});

t.ledgerTest("a hundred jobs a page, or one by its name or alias", async ({ sql }) => {
  await sql`
    select scheduler.register_job('job-' || lpad(i::text, 3, '0'), null, target => 'job')
    from generate_series(1, 101) as i`;
  await t.register(sql, "zebra", { alias: "striped" });
  const first = await metrics(sql, t.NOON);
  assert.deepEqual([first.jobs.length, first.next_cursor], [100, "job-100"]);
  const second = await metrics(sql, t.NOON, null, first.next_cursor);
  assert.deepEqual(second.jobs.map(({ job }: { job: string }) => job), ["job-101", "zebra"]);
  assert.equal(second.next_cursor, null);
  const [one, ...others] = (await metrics(sql, t.NOON, "striped")).jobs;
  assert.deepEqual([one.job, one.alias, others.length], ["zebra", "striped", 0]);
  assert.deepEqual(Object.keys(one.windows).sort(), ["1h", "24h", "30d", "7d"]);
  const error = await refusal(metrics(sql, t.NOON, "nobody"));
  assert.equal(error.code, "SD001");
});

t.ledgerTest("roll-ups are pruned after their days, a bounded number at once", async ({ sql }) => {
  await registered(sql, t.after(-60));
  await sql`
    insert into scheduler.rollups
    select (jsonb_populate_record(rollups, jsonb_build_object('taken_at', ${t.NOON}::timestamptz - days * interval '24 hours'))).*
    from scheduler.rollups, generate_series(90, 95) as days`;
  const prune = (limit: number) =>
    t.value(sql, "scheduler.prune_old_rows('rollups', $1, $2)", [limit, t.NOON]);
  assert.deepEqual([await prune(2), await prune(2), await prune(2)], [2, 1, 0]);
  assert.equal((await sql`select from scheduler.rollups`).length, 4);
});
