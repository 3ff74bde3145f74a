import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { type Day, normal, writeDays } from "../../support/days.ts";
import { quietRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

// A Monday. The pulse of noon makes the forecasts.
const today = new Date("2026-03-02T00:00:00Z");
const random = quietRandom(12);
const allDay = Array.from({ length: 24 }, (_, hour) => hour);

/** So many days up to yesterday, with a run in each of these hours that took about so long. */
function days(
  count: number,
  usual: (ago: number, hour: number) => number,
  { hours = allDay, noise = 0.05, failed = (_: number): number => 0 } = {},
): Day[] {
  return Array.from({ length: count }, (_, place) => {
    const ago = count - place;
    const runs = hours.map((hour) => ({
      hour,
      ms: Math.round(usual(ago, hour) * Math.exp(noise * normal(random))),
    }));
    return { ago, runs, failed: failed(ago) };
  });
}

// deno-lint-ignore no-explicit-any
type Json = any;

const forecastOf = (sql: Sql, name: string, now = t.NOON): Promise<Json> =>
  sql`select scheduler.job_forecast(jobs, scheduler.plan_in_use(), ${now}) as forecast from scheduler_jobs as jobs
    where name = ${name}`.then(([row]) => row!.forecast);
const kinds = ({ findings }: Json) =>
  findings.map(({ kind, limit }: Json) => limit ? `${kind} ${limit}` : kind);
const rows = (sql: Sql, job: string | null = null) => sql`select * from scheduler.forecast(${job})`;
const dateText = (date: Date | null) => date?.toISOString().slice(0, 10) ?? null;
const inDays = (text: string) => (Date.parse(text) - today.getTime()) / 86_400_000;

t.ledgerTest("a job reaches its timeout, the wall clock and its interval", async ({ sql }) => {
  // p95 about 100 s now, and 1 s more each day.
  await writeDays(sql, today, [["job", days(60, (ago) => (100 - ago) * 1000, { noise: 0.01 })]]);
  await t.register(sql, "job", { schedule: "*/3 * * * *", timeout_seconds: 120 });
  const forecast = await forecastOf(sql, "job");
  assert.deepEqual(kinds(forecast), [
    "outgrows timeout",
    "outgrows wall_clock",
    "outgrows interval",
  ]);
  const [timeout, wallClock, interval] = forecast.findings;
  assert.deepEqual([timeout.limit_ms, wallClock.limit_ms, interval.limit_ms], [
    120e3,
    150e3,
    180e3,
  ]);
  for (const [finding, expected] of [[timeout, 19], [wallClock, 49], [interval, 79]] as const) {
    assert.ok(Math.abs(inDays(finding.on) - expected) <= 2, `${finding.limit} ${finding.on}`);
    assert.ok(finding.earliest <= finding.on && finding.on <= finding.latest, finding.limit);
    assert.deepEqual([finding.reached, finding.days, finding.since], [false, 60, "2026-01-01"]);
  }
  assert.match(
    timeout.sentence,
    /^job reaches its timeout of 120 s on 2026-03-\d\d \(between 2026-03-\d\d and 2026-03-\d\d\): one run in twenty takes 10\d(\.\d)? s or longer, and (1 s|9\d\d ms) more each day \(by 60 days\)$/,
  );
  assert.match(wallClock.sentence, /^job reaches the wall clock of 150 s of the plan free on /);
});

t.ledgerTest("a limit that is reached has no day to come", async ({ sql }) => {
  // p95 118 s now: within 2.5 % of the timeout it counts as there.
  await writeDays(sql, today, [["job", days(60, (ago) => 118e3 - 300 * ago, { noise: 0 })]]);
  await t.register(sql, "job", { schedule: null, timeout_seconds: 119 });
  const [{ limit, reached, on, earliest, latest, sentence }] =
    (await forecastOf(sql, "job")).findings;
  assert.deepEqual([limit, reached, on, earliest, latest], [
    "timeout",
    true,
    "2026-03-02",
    null,
    null,
  ]);
  assert.equal(
    sentence,
    "job is at its timeout of 119 s: one run in twenty takes 118 s or longer, and 300 ms more each day (by 60 days)",
  );
});

t.ledgerTest("sentences round to a tenth, small shares to three digits", async ({ sql }) => {
  const texts = (name: string, values: string) =>
    t.value(
      sql,
      `array(select scheduler.${name}(value) from unnest('${values}'::numeric[]) as value)`,
    );
  assert.deepEqual(
    await texts(
      "ms_text",
      "{0, 999, 1000, 119960, 150000, 400500, 600000, 5430000, 7200000, 86400000}",
    ),
    [
      "0 ms",
      "999 ms",
      "1 s",
      "120 s",
      "150 s",
      "400.5 s",
      "10 minutes",
      "90.5 minutes",
      "2 hours",
      "24 hours",
    ],
  );
  assert.deepEqual(await texts("percent_text", "{0, 0.00021, 0.0034, 0.05, 0.33333, 1}"), [
    "0 %",
    "0.021 %",
    "0.34 %",
    "5 %",
    "33.3 %",
    "100 %",
  ]);
});

t.ledgerTest("a duration that falls does not fall below nothing", async ({ sql }) => {
  await writeDays(sql, today, [[
    "job",
    days(20, (ago) => 1e5 * 0.8 ** (20 - ago), { noise: 0 }),
  ]]);
  await t.register(sql, "job", { schedule: null });
  assert.equal((await forecastOf(sql, "job")).duration.p95_ms, 0);
});

t.ledgerTest("limits are those that hold now, and of jobs that have them", async ({ sql }) => {
  const growing = days(60, (ago) => (100 - ago) * 1000, { noise: 0.01 });
  await writeDays(sql, today, ["a", "b", "c", "d", "e"].map((name) => [name, growing]));
  await t.register(sql, "a", {
    schedule: "*/3 * * * *",
    timeout_seconds: 120,
    overlap_policy: "allow",
  });
  await t.register(sql, "b", {
    schedule: "0 3 * * *",
    timeout_seconds: 50,
    target: "https://b.test/x",
  });
  await t.register(sql, "c", { schedule: "@continuous", timeout_seconds: 120 });
  await t.register(sql, "d", { schedule: null, timeout_seconds: 400 });
  await t.register(sql, "e", { schedule: "0 3 * * *", timeout_seconds: 90 });
  assert.deepEqual(kinds(await forecastOf(sql, "a")), ["outgrows timeout", "outgrows wall_clock"]);
  // It is there already: a URL has no wall clock.
  const reached = await forecastOf(sql, "b");
  assert.deepEqual(kinds(reached), ["outgrows timeout"]);
  assert.deepEqual([reached.findings[0].reached, reached.findings[0].on], [true, "2026-03-02"]);
  assert.match(
    reached.findings[0].sentence,
    /^b is at its timeout of 50 s: one run in twenty takes/,
  );
  const continuous = await forecastOf(sql, "c");
  assert.deepEqual([kinds(continuous), continuous.duration], [[], null]);
  assert.deepEqual(kinds(await forecastOf(sql, "d")), ["outgrows wall_clock"]);
  assert.deepEqual(kinds(await forecastOf(sql, "e")), ["outgrows timeout", "outgrows wall_clock"]);
  // The timeout is changed in between, the plan too.
  await sql`update scheduler_jobs set timeout_seconds = 86400 where name = 'e'`;
  await sql`update scheduler_settings set value = '"pro"' where key = 'forecast.plan'`;
  assert.deepEqual(kinds(await forecastOf(sql, "e")), []);
});

t.ledgerTest("the shortest interval of a schedule", async ({ sql }) => {
  for (
    const [schedule, minutes, zone = "UTC"] of [
      ["* * * * *", 1],
      ["*/15 3-5 * * *", 15, "America/New_York"],
      ["0,40,45 8-17 * * *", 5],
      ["0 3,4,9 * * *", 60],
      ["0 3 * * *", 1440],
      ["0 3 * * 1", 7 * 1440],
      ["0 3 1,15 * *", 14 * 1440],
      ["20 seconds", 1 / 3],
      ["0 3 1 * *", 28 * 1440],
      // Whichever occurrence is the next.
      ["0,50 9,12 * * *", 50],
      ["0,50 11,12 * * *", 10],
      ["30 0,12,23 * * 1,2", 60],
      ["0 0,12,23 1,2,10 * *", 60],
      ["*/7 * * * *", 4],
      ["0 3 29 2 *", null],
    ] as [string, number | null, string?][]
  ) {
    await t.register(sql, "job", { schedule, time_zone: zone });
    await sql`update scheduler_jobs set next_run_at = scheduler.next_occurrence(schedule, time_zone, '2026-03-02 12:00Z')`;
    const [row] =
      await sql`select scheduler.shortest_interval_ms(jobs, ${t.NOON}) as ms from scheduler_jobs as jobs`;
    assert.equal(row!.ms === null ? null : Number(row!.ms) / 60_000, minutes, schedule);
  }
  // The same from any of its occurrences.
  await t.register(sql, "job", { schedule: "0,50 9,10 * * 1,2", time_zone: "UTC" });
  const found = await sql`
    select at, scheduler.shortest_interval_ms(jsonb_populate_record(jobs, jsonb_build_object('next_run_at', at)), at) as ms
    from scheduler_jobs as jobs, scheduler.occurrences(schedule, time_zone, '2026-03-02', '2026-03-04') as at`;
  assert.equal(found.length, 8);
  for (const { at, ms } of found) assert.equal(Number(ms), 600_000, at.toISOString());
});

t.ledgerTest("of fewer than 14 days nothing is said, nor of a job that rests", async ({ sql }) => {
  // Failures and a figure that would be told, too.
  const growing = (count: number) =>
    days(count, (ago) => (100 - ago) * 1000, { failed: (ago) => ago <= 21 ? 20 : 0 })
      .map((day) => ({
        ...day,
        figures: { rows: { sum: day.ago, least: day.ago, most: day.ago, runs: 1 } },
      }));
  await writeDays(sql, today, [
    ["few", growing(13)],
    ["one", growing(1)],
    ["rests", growing(60).filter(({ ago }) => ago > 14)],
    ["zero", days(60, () => 0)],
  ]);
  for (const name of ["few", "one", "none", "rests", "zero"]) {
    await t.register(sql, name, { timeout_seconds: 101, figures: ["rows"] });
  }
  for (const [name, known] of [["few", 13], ["one", 1], ["none", 0], ["rests", 46]] as const) {
    const forecast = await forecastOf(sql, name);
    const { cost: _, ...rest } = forecast;
    assert.deepEqual(rest, { days: known, duration: null, findings: [], figures: {} }, name);
  }
  const zero = await forecastOf(sql, "zero");
  assert.deepEqual([kinds(zero), zero.duration.p95_ms, zero.duration.ms_a_day], [[], 0, null]);
  await t.pulse(sql, t.NOON);
  assert.deepEqual((await rows(sql, "few")).map(({ sentence }) => sentence), [
    "few: what comes is said from 14 days on, 13 are known",
  ]);
  assert.match(
    (await rows(sql, "zero"))[0]!.sentence,
    /^zero: nothing is foreseen \(by 60 days\)$/,
  );
});

t.ledgerTest(
  "a change of the failure rate is told, an incident of one day is none",
  async ({ sql }) => {
    const failing = (failed: (ago: number) => number) => days(60, () => 1000, { failed });
    await writeDays(sql, today, [
      ["more", failing((ago) => ago <= 7 ? 12 : ago % 9 === 0 ? 1 : 0)],
      ["less", failing((ago) => ago <= 7 ? 0 : 12)],
      ["incident", failing((ago) => ago === 3 ? 500 : 0)],
      // The only run of another day failed as well.
      ["incident-and-one", [
        ...failing((ago) => ago === 3 ? 500 : 0).filter(({ ago }) => ago !== 2),
        { ago: 2, runs: [], failed: 1 },
      ]],
      ["steady", failing(() => 5)],
      ["new", failing((ago) => ago <= 7 ? 12 : 0).slice(-13)],
      ["all", days(60, () => 1000, { hours: [3], failed: (ago) => ago <= 7 ? 3 : 0 })],
    ]);
    for (const name of ["more", "less", "incident", "incident-and-one", "steady", "new", "all"]) {
      await t.register(
        sql,
        name,
      );
    }
    const more = await forecastOf(sql, "more");
    assert.deepEqual(kinds(more), ["failure_rate"]);
    const [finding] = more.findings;
    assert.deepEqual([finding.rises, finding.days, finding.since], [true, 60, "2026-02-23"]);
    assert.equal(finding.now.rate, 0.333333);
    assert.ok(finding.before.most < finding.now.least && finding.before.rate < 0.01);
    assert.match(
      finding.sentence,
      /^more fails more often: 33\.3 % of its runs since 2026-02-23, 0\.\d+ % before \(by 60 days\)$/,
    );
    const less = await forecastOf(sql, "less");
    assert.deepEqual([kinds(less), less.findings[0].rises], [["failure_rate"], false]);
    for (const name of ["incident", "incident-and-one", "steady", "new"]) {
      assert.deepEqual(kinds(await forecastOf(sql, name)), [], name);
    }
    assert.deepEqual(kinds(await forecastOf(sql, "all")), ["failure_rate"]);
  },
);

t.ledgerTest(
  "durations out of their range are told, by hour and weekday of the job's clock",
  async ({ sql }) => {
    const weekday = (ago: number, hour: number) =>
      new Date(today.getTime() + ((hour + 5.5) / 24 - ago) * 86_400_000).getUTCDay();
    // Yesterday was a Sunday, and Sundays of India take four times as long; so does each night at three.
    const usual = (ago: number, hour: number) =>
      1000 * (weekday(ago, hour) === 0 ? 4 : 1) * (hour === 3 ? 4 : 1);
    const series = (factor: (ago: number, hour: number) => number, count = 60): Day[] =>
      days(count, (ago, hour) => usual(ago, hour) * factor(ago, hour));
    await writeDays(sql, today, [
      ["usual", series(() => 1)],
      ["usual-14", series(() => 1, 15)],
      ["new-13", series((ago, hour) => ago === 1 && hour === 10 ? 9 : 1, 14)],
      ["new-14", series((ago, hour) => ago === 1 && hour === 10 ? 9 : 1, 15)],
      ["like-sundays", series((ago) => ago === 1 ? 1.3 : 1, 20)],
      ["slow", series((ago, hour) => ago === 1 && hour === 10 ? 4 : 1)],
      ["fast", series((ago, hour) => ago === 1 && hour >= 6 && hour < 9 ? 0.1 : 1)],
      ["before", series((ago, hour) => ago % 14 === 1 && hour === 10 ? (ago === 1 ? 4 : 5) : 1)],
      ["nightly", days(40, (ago) => ago === 1 ? 9000 : 1000, { hours: [3], noise: 0.2 })],
      [
        "new-hour",
        days(40, () => 1000, { hours: [3] }).concat([{ ago: 1, runs: [{ hour: 9, ms: 9e6 }] }])
          .filter(({ ago, runs }) => ago > 1 || runs[0]!.hour === 9),
      ],
    ]);
    const names = [
      "usual",
      "usual-14",
      "new-13",
      "new-14",
      "like-sundays",
      "slow",
      "fast",
      "before",
      "nightly",
      "new-hour",
    ];
    for (const name of names) {
      await t.register(sql, name, {
        time_zone: "Asia/Kolkata",
        timeout_seconds: 86400,
        schedule: null,
      });
    }
    await sql`update scheduler_plans set wall_clock_seconds = null`;
    const slow = (await forecastOf(sql, "slow")).findings;
    assert.deepEqual(slow.map(({ at }: Json) => at), ["2026-03-01T10:00:00+00:00"]);
    const [{ average_ms, usual_ms, least_ms, most_ms, days: known, sentence }] = slow;
    assert.ok(Math.abs(average_ms / 16000 - 1) < 0.3 && Math.abs(usual_ms / 4000 - 1) < 0.3);
    assert.ok(least_ms < usual_ms && usual_ms < most_ms && most_ms < average_ms);
    assert.equal(known, 42);
    assert.match(
      sentence,
      /^slow took 1\d(\.\d)? s on average at 2026-03-01 15:30 Asia\/Kolkata, where \d(\.\d)? s is usual/,
    );
    const fast = await forecastOf(sql, "fast");
    assert.deepEqual(kinds(fast), Array(3).fill("unusual_duration"));
    assert.ok(fast.findings[0].average_ms < fast.findings[0].least_ms);
    assert.deepEqual(kinds(await forecastOf(sql, "nightly")), ["unusual_duration"]);
    assert.deepEqual(kinds(await forecastOf(sql, "new-14")), ["unusual_duration"]);
    // What was as long before, what a Sunday or an hour always takes, and an hour that is not known.
    for (const name of ["usual", "usual-14", "new-13", "like-sundays", "before", "new-hour"]) {
      assert.deepEqual(kinds(await forecastOf(sql, name)), [], name);
    }
  },
);

t.ledgerTest("a run that ends the day after is told at the hour it began", async ({ sql }) => {
  await writeDays(sql, today, [
    ["late", days(40, (ago) => ago === 1 ? 9e6 : 3.6e6, { hours: [-1] })],
  ]);
  await t.register(sql, "late", { schedule: null, timeout_seconds: 86400 });
  await sql`update scheduler_plans set wall_clock_seconds = null`;
  const { findings } = await forecastOf(sql, "late");
  assert.deepEqual(findings.map(({ at }: Json) => at), ["2026-02-28T23:00:00+00:00"]);
  assert.match(findings[0].sentence, /at 2026-02-28 23:00 UTC, where/);
  // The last day of February was a Saturday. In New York it was still Friday.
  await writeDays(sql, today, [["early", days(40, () => 1000, { hours: [-24] })]]);
  await t.register(sql, "early", { schedule: null, time_zone: "America/New_York" });
  const weekdays = await sql`
    select name, weekday, hour from scheduler_jobs as jobs, scheduler.hour_sizes(jobs, '2026-03-02') where is_new
    order by name`;
  assert.deepEqual([...weekdays], [
    { name: "early", weekday: 4, hour: 19 },
    { name: "late", weekday: 5, hour: 23 },
  ]);
});

t.ledgerTest("on a day of a change the clock's hours are those that it shows", async ({ sql }) => {
  for (
    const [zone, change] of [
      ["America/New_York", "2026-03-08"],
      ["America/New_York", "2026-11-01"],
      ["Australia/Lord_Howe", "2026-10-03"],
      ["Europe/Berlin", "2026-10-25"],
    ] as const
  ) {
    const next = new Date(Date.parse(change) + 86_400_000);
    const clock = new Intl.DateTimeFormat("en", {
      timeZone: zone,
      hour: "numeric",
      hourCycle: "h23",
    });
    // Each hour of the local day takes twice as long as the one before.
    const local = (ago: number, hour: number) =>
      Number(clock.format(next.getTime() - ago * 86_400_000 + hour * 3_600_000));
    await sql`delete from scheduler.job_days`;
    await writeDays(sql, next, [["job", days(50, (ago, hour) => 5 * 2 ** local(ago, hour))]]);
    await t.register(sql, "job", { schedule: null, timeout_seconds: 86400, time_zone: zone });
    await sql`update scheduler_plans set wall_clock_seconds = null`;
    const hours = await sql`
      select utc_hour, hour from scheduler_jobs as jobs, scheduler.hour_sizes(jobs, ${next}::date) where is_new
      order by utc_hour`;
    assert.deepEqual(hours.map(({ hour }) => hour), allDay.map((hour) => local(1, hour)), change);
    assert.deepEqual(kinds(await forecastOf(sql, "job", t.after(60, next))), [], change);
  }
});

t.ledgerTest("figures that a job names have a trend of their own", async ({ sql }) => {
  const figures = (sum: number) => ({ sum, least: sum, most: sum, runs: 1 });
  const series: Day[] = days(40, () => 1000, { hours: [3] }).map((day) => ({
    ...day,
    figures: {
      rows: figures(5000 - 100 * day.ago),
      cost: figures(12.5),
      huge: figures(1e15),
      ...(day.ago > 8 ? {} : { fresh: figures(1) }),
    },
  }));
  await writeDays(sql, today, [["job", series]]);
  await t.register(sql, "job", { figures: ["rows", "cost", "huge", "fresh", "never"] });
  const { figures: found } = await forecastOf(sql, "job");
  assert.deepEqual(Object.keys(found).sort(), ["cost", "huge", "rows"]);
  assert.deepEqual(found.rows, {
    level: 5000,
    a_day: 100,
    least_a_day: 100,
    most_a_day: 100,
    in_30_days: 8000,
    days: 40,
    since: "2026-01-21",
  });
  assert.deepEqual([found.cost.level, found.cost.a_day, found.cost.in_30_days], [12.5, null, null]);
  assert.equal(found.huge.level, 1e15);
  // What it does not name any more is not told.
  await t.register(sql, "job", { figures: [] });
  assert.deepEqual((await forecastOf(sql, "job")).figures, {});
});

t.ledgerTest(
  "the pulse makes each forecast once a day, and anew when job or plan change",
  async ({ sql }) => {
    await writeDays(sql, today, [["job", days(60, (ago) => (100 - ago) * 1000, { noise: 0.01 })]]);
    await t.register(sql, "job", { timeout_seconds: 120, schedule: "0 3 * * *" });
    await t.register(sql, "other", { schedule: null });
    const made = async (minutes: number) => (await t.pulse(sql, t.after(minutes))).forecasts;
    const first = async () => {
      const [row] =
        await sql`select outgrows_limit, outgrows_on from scheduler.job_forecasts where job_name = 'job'`;
      return [row!.outgrows_limit, dateText(row!.outgrows_on)?.slice(0, 7)];
    };
    assert.equal(await made(0), 2);
    assert.deepEqual(await first(), ["timeout", "2026-03"]);
    assert.deepEqual([await made(1), await made(5), await made(11 * 60)], [undefined, 0, 0]);
    await t.register(sql, "job", { timeout_seconds: 140, schedule: "0 3 * * *" });
    assert.deepEqual([await made(11 * 60 + 5), await first()], [1, ["timeout", "2026-04"]]);
    await sql`update scheduler_plans set wall_clock_seconds = 110 where plan = 'free'`;
    assert.deepEqual([await made(11 * 60 + 10), await first()], [2, ["wall_clock", "2026-03"]]);
    await sql`update scheduler_settings set value = '"pro"' where key = 'forecast.plan'`;
    assert.deepEqual([await made(11 * 60 + 15), await first()], [2, ["timeout", "2026-04"]]);
    assert.equal(await made(12 * 60), 2, "the next day");
    // A clock that went back, and forward again.
    assert.deepEqual([await made(0), await made(12 * 60 + 5)], [2, 2]);
    await sql`select scheduler.unregister_job('job')`;
    await made(36 * 60);
    assert.deepEqual(
      (await sql`select job_name from scheduler.job_forecasts`).map((row) => row.job_name),
      ["other"],
    );
  },
);

t.ledgerTest(
  "what a pulse has no time for the next one makes; one that fails stops no other",
  async ({ sql }) => {
    for (const name of ["a", "b", "c", "d"]) await t.register(sql, name, { schedule: null });
    await writeDays(sql, today, [["b", days(60, () => 1000)]]);
    const pulse = (minutes: number, budget: number) =>
      t.value(sql, "scheduler.pulse($1, $2)", [t.after(minutes), budget]);
    const left = async () =>
      (await sql`select forecasts_left from scheduler.pulse_state`)[0]!.forecasts_left;
    // The time is over after the first look at the clock.
    await pulse(0, -1000);
    assert.deepEqual([(await sql`select from scheduler.job_forecasts`).length, await left()], [
      0,
      true,
    ]);
    const { forecasts } = await pulse(0.2, 600_000);
    assert.deepEqual([forecasts, await left()], [4, false]);
    await sql.unsafe(
      `create or replace function scheduler.failure_change(p_job_name text, p_today date) returns jsonb
    language sql as $$ select to_jsonb(1 / (p_job_name <> 'b')::integer) - 0 $$`,
    );
    const next = await pulse(12 * 60, 600_000);
    assert.deepEqual([next.forecasts, next.errors], [4, {}]);
    const failed =
      await sql`select job_name from scheduler.job_forecasts where forecast ? 'error' order by 1`;
    assert.ok(failed.some(({ job_name }) => job_name === "b"));
    assert.match((await rows(sql, "b"))[0]!.sentence, /^b: division by zero$/);
    // That of the whole fails, too: jobs have theirs all the same, and the pulse says so.
    await sql`create or replace function scheduler.ledger_size(out rows bigint, out bytes bigint)
      language sql as 'select 1 / 0, 1'`;
    const third = await pulse(36 * 60, 600_000);
    assert.deepEqual([third.forecasts, third.errors], [4, {
      "forecast of ledger and cost": "division by zero",
    }]);
  },
);

t.ledgerTest(
  "in SQL: a row a finding, the nearest day first, then the ledger and the cost",
  async ({ sql }) => {
    await writeDays(sql, today, [
      ["late", days(60, (ago) => (100 - ago) * 1000, { noise: 0.01 })],
      ["soon", days(60, (ago) => (110 - ago) * 1000, { noise: 0.01 })],
      ["well", days(60, () => 1000)],
    ]);
    for (const name of ["late", "soon", "well"]) {
      await t.register(sql, name, {
        schedule: null,
        timeout_seconds: 120,
        ...(name === "late" ? { alias: "tardy" } : {}),
      });
    }
    assert.deepEqual([...await rows(sql)], [], "before the first pulse");
    assert.deepEqual((await rows(sql, "well")).map(({ sentence }) => sentence), [
      "well: the pulse has made no forecast yet",
    ]);
    await t.pulse(sql, t.NOON);
    const all = await rows(sql);
    assert.deepEqual(all.map(({ job, kind }) => `${job} ${kind}`), [
      "soon outgrows",
      "late outgrows",
      "soon outgrows",
      "late outgrows",
      "null ledger",
      "null cost",
    ]);
    const days60 = all.slice(0, 4).map(({ days: known, on_day }) => [known, on_day !== null]);
    assert.deepEqual(days60, Array(4).fill([60, true]));
    assert.deepEqual((await rows(sql, "tardy")).map(({ job }) => job), ["late", "late"]);
    assert.equal((await refusal(rows(sql, "nobody"))).code, "SD001");
  },
);

t.ledgerTest("the ledger grows until retention holds it", async ({ sql }) => {
  // Rows of ten days, before the job is registered, so that nothing counts them.
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict)
    select 'job', case when i % 13 = 0 then 'failed' else 'completed' end, 'manual', at, at, 'ok'
    from generate_series(1, 260) as i, lateral (select ${t.NOON}::timestamptz - i * interval '55 minutes' as at) as times`;
  // 24 completed runs and 2 failed ones a day.
  await writeDays(sql, today, [["job", days(30, () => 1000, { failed: () => 2 })]]);
  await t.register(sql, "job", { schedule: null });
  const forecast = (): Promise<Json> => t.value(sql, "scheduler.ledger_forecast('2026-03-02')");
  const { bytes, held_bytes, ...rest } = await forecast();
  assert.deepEqual(rest, {
    rows: 260,
    days: 30,
    rows_a_day: 26,
    // The oldest failed run is of ten days ago, and they stay for 90.
    held_on: "2026-05-20",
    held_rows: 24 * 14 + 2 * 90,
    growth: { rows: null, bytes: null },
  });
  assert.equal(held_bytes, Math.round(rest.held_rows * bytes / 260));
  // Where the ledger reaches back as far as it is kept, it is held.
  await sql`update scheduler_settings set value = '9' where key in ('scheduler.keep_successes_days', 'scheduler.keep_failures_days')`;
  assert.equal((await forecast()).held_on, "2026-03-02");
  await sql`update scheduler_settings set value = '99999' where key = 'scheduler.keep_failures_days'`;
  const { held_on, held_rows } = await forecast();
  assert.deepEqual([held_on, held_rows], [null, 24 * 9 + 2 * 99999]);
  assert.match(
    await t.value(sql, "scheduler.ledger_sentence(scheduler.ledger_forecast('2026-03-02'))"),
    /^the ledger has 260 rows and \d+ kB; 26 rows come a day, and retention is too long to hold them$/,
  );
  await sql`
    insert into scheduler.ledger_days
    select date '2026-03-02' - ago, 100000 - 200 * ago, 70000000 - 1000 * ago from generate_series(0, 40) as ago`;
  const { growth } = await forecast();
  assert.deepEqual([growth.rows.a_day, growth.rows.level, growth.bytes.a_day, growth.rows.days], [
    200,
    100000,
    1000,
    41,
  ]);
  await sql`update scheduler_settings set value = default_value where key = 'scheduler.keep_failures_days'`;
  for (
    const [from, known, isSaid] of [["2026-02-16", 14, true], ["2026-02-17", 13, false]] as const
  ) {
    await sql`delete from scheduler.job_days where day < ${from}`;
    const few = await forecast();
    assert.deepEqual([few.days, few.held_on !== null, few.rows_a_day !== null], [
      known,
      isSaid,
      isSaid,
    ]);
  }
});

t.ledgerTest("the size of the ledger is noted once a day", async ({ sql }) => {
  await t.pulse(sql, t.NOON);
  await t.pulse(sql, t.after(60));
  await t.pulse(sql, t.after(13 * 60));
  const sizes = await sql`select day, rows, bytes from scheduler.ledger_days order by day`;
  assert.deepEqual(sizes.map(({ day }) => dateText(day)), ["2026-03-02", "2026-03-03"]);
  assert.ok(sizes.every(({ rows, bytes }) => Number(rows) === 0 && Number(bytes) > 0));
  // A large one is reckoned from its pages.
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict, payload)
    select 'job', 'completed', 'manual', ${t.NOON}, ${t.NOON}, 'ok', jsonb_build_object('pad', repeat('x', 1000))
    from generate_series(1, 9000)`;
  await sql`analyze scheduler_runs`;
  // It is not counted: these are still reckoned with.
  await sql`delete from scheduler_runs where random() < 0.5`;
  const [size] = await sql`select rows, bytes from scheduler.ledger_size()`;
  assert.ok(Math.abs(Number(size!.rows) - 9000) < 200, String(size!.rows));
});

t.ledgerTest("the cost of a month, against the plan", async ({ sql }) => {
  // 20,000 calls a day now, 200 more each day; two seconds each.
  const series = Array.from({ length: 60 }, (_, place): Day => ({ ago: 60 - place, runs: [] }));
  await writeDays(sql, today, [["job", series.map((day) => ({ ...day, failed: 1 }))]]);
  await sql`
    update scheduler.job_days set sent = 20000 - 200 * (date '2026-03-02' - day), wall_ms = 40000000`;
  await t.register(sql, "job", { schedule: null });
  const cost = (): Promise<Json> =>
    t.value(sql, "scheduler.cost_forecast(scheduler.plan_in_use(), '2026-03-02')");
  const free = await cost();
  assert.equal(free.invocations.last_30_days, 30 * (20000 - 200 * 15.5));
  assert.equal(free.invocations.ahead.next_30_days, 30 * (20000 + 15 * 200));
  assert.deepEqual([free.invocations.ahead.a_day, free.invocations.ahead.days], [200, 60]);
  // Over what the free plan includes, and it sells no more.
  assert.deepEqual([free.invocations.included, free.invocations.exceeds_on, free.usd], [
    500000,
    "2026-03-02",
    null,
  ]);
  assert.match(
    await t.value(sql, "scheduler.cost_sentence($1::text::jsonb)", [JSON.stringify(free)]),
    /; the plan free includes 500000, fewer than the 30 days from 2026-03-02 on have, and sells no more \(by 60 days\)$/,
  );
  assert.equal(free.wall_seconds.ahead.next_30_days, 30 * 40000);
  await sql`update scheduler_settings set value = '"pro"' where key = 'forecast.plan'`;
  const pro = await cost();
  assert.deepEqual([pro.plan, pro.usd, pro.invocations.exceeds_on], ["pro", 0, null]);
  // 50,000 a day are within reach of three times 60 days, 66,667 are not.
  await sql`update scheduler_plans set invocations_included = 1500000 where plan = 'pro'`;
  // On average over the month that begins then.
  assert.equal((await cost()).invocations.exceeds_on, "2026-07-15");
  // It says so until the month that begins today is over, and then of today alone.
  await sql`update scheduler_plans set invocations_included = 30 * (20000 + 16 * 200) where plan = 'pro'`;
  assert.equal((await cost()).invocations.exceeds_on, "2026-03-03");
  await sql`update scheduler_plans set invocations_included = 30 * (20000 + 14 * 200) where plan = 'pro'`;
  const { exceeds_on, earliest, latest } = (await cost()).invocations;
  assert.deepEqual([exceeds_on, earliest, latest], ["2026-03-02", null, null]);
  await sql`update scheduler_plans set invocations_included = 100000, usd_a_wall_second = 0.001, wall_seconds_included = 200000`;
  // 590,000 calls above are a package, and a million seconds.
  assert.equal((await cost()).usd, 2 + 1000);
  const [job] = await sql`select scheduler.job_cost('job', '2026-03-02') as cost`;
  assert.deepEqual(job!.cost, {
    days: 42,
    invocations: Math.round(30 * (20000 - 200 * 21.5)),
    wall_seconds: 1200000,
  });
  await sql`delete from scheduler.job_days where day < '2026-02-17'`;
  const few = await cost();
  assert.deepEqual([few.invocations.ahead, few.invocations.exceeds_on, few.usd], [
    null,
    null,
    null,
  ]);
  assert.match(
    await t.value(
      sql,
      "scheduler.cost_sentence(scheduler.cost_forecast(scheduler.plan_in_use(), '2026-03-02'))",
    ),
    /^\d+ calls of edge functions and 520000 seconds of work in the last 30 days; what comes is said from 14 days on$/,
  );
});

t.ledgerTest(
  "days on which nothing ran count in what a month costs and leaves",
  async ({ sql }) => {
    const isWeekday = ({ ago }: Day) =>
      new Date(today.getTime() - ago * 86_400_000).getUTCDay() % 6 > 0;
    await writeDays(sql, today, [["job", days(60, () => 1000, { noise: 0 }).filter(isWeekday)]]);
    const forecasts = async () => {
      const [row] = await sql`
      select scheduler.cost_forecast(scheduler.plan_in_use(), '2026-03-02') as cost,
        scheduler.ledger_forecast('2026-03-02') as ledger`;
      return { ...row!.cost.invocations.ahead, ledger: row!.ledger };
    };
    const { next_30_days, days: known, ledger } = await forecasts();
    assert.deepEqual([next_30_days, known], [Math.round(30 * 24 * 5 / 7), 60]);
    assert.deepEqual([ledger.days, ledger.rows_a_day, ledger.held_rows], [
      42,
      Math.round(24 * 5 / 7),
      14 * 24 * 5 / 7,
    ]);
    // Two weeks without a run are weeks of which each day is known.
    await sql`delete from scheduler.job_days where day >= '2026-02-16' or day < '2026-02-10'`;
    const quiet = await forecasts();
    assert.deepEqual([quiet.days, quiet.next_30_days, quiet.ledger.rows_a_day], [20, 0, 0]);
  },
);

t.ledgerTest("a month lies between what its trend and its days leave in doubt", async ({ sql }) => {
  const noise = quietRandom(13);
  for (const slope of [0, 20]) {
    const values = Array.from(
      { length: 60 },
      (_, place) => 5000 + slope * place + 100 * normal(noise),
    );
    const [row] = await sql`
      select scheduler.month_ahead(days, ${values}::float8[], '2026-03-02') as month,
        (scheduler.trend_of(days, ${values}::float8[], '2026-03-02')).*
      from (select array_agg(date '2026-03-02' - ago order by ago desc) as days from generate_series(1, 60) as ago) as all_days`;
    const { next_30_days: middle, least, most } = row!.month;
    const doubt = row!.slope === null
      ? 0
      : 15 * Math.max(row!.slope - row!.slope_least, row!.slope_most - row!.slope);
    const reach = 30 * (2.45 * row!.spread / Math.sqrt(row!.days) + doubt);
    assert.equal(row!.slope === null, slope === 0);
    assert.ok(reach > 500 && Math.abs(most - middle - reach) <= 1, `${most} ${middle} ${reach}`);
    assert.ok(Math.abs(middle - least - reach) <= 1, `${least} ${middle} ${reach}`);
  }
});

t.ledgerTest(
  "a plan is a row that a person may change, and the setting names one",
  async ({ sql }) => {
    const plans =
      await sql`select plan, wall_clock_seconds, invocations_included, usd_a_package, source from scheduler_plans order by plan`;
    assert.deepEqual(plans.map(({ plan, wall_clock_seconds }) => [plan, wall_clock_seconds]), [[
      "free",
      150,
    ], ["pro", 400]]);
    assert.ok(plans.every(({ source }) => /^https:\/\/supabase\.com\//.test(source)));
    const error = await refusal(
      sql`update scheduler_settings set value = '"gold"' where key = 'forecast.plan'`,
    );
    assert.deepEqual([error.code, error.message], [
      "22023",
      "cannot set forecast.plan: there is no plan 'gold'",
    ]);
    assert.match((error as { hint?: string }).hint!, /^the plans are: free, pro; insert a row/);
    await sql`insert into scheduler_plans (plan, source, looked_up_on) values ('gold', 'our contract', '2026-03-01')`;
    await sql`update scheduler_settings set value = '"gold"' where key = 'forecast.plan'`;
    await t.register(sql, "job");
    await writeDays(sql, today, [["job", days(20, () => 1000)]]);
    await t.pulse(sql, t.NOON);
    const [row] = await sql`select cost from scheduler.project_forecast`;
    assert.deepEqual([row!.cost.plan, row!.cost.usd, row!.cost.invocations.included], [
      "gold",
      0,
      null,
    ]);
    // Its row is gone: without a plan nothing is compared.
    await sql`delete from scheduler_plans where plan = 'gold'`;
    assert.deepEqual((await t.pulse(sql, t.after(5))).errors, {});
    const [{ plan, usd, sentence }] = await sql`
      select cost -> 'plan' as plan, cost -> 'usd' as usd, scheduler.cost_sentence(cost) as sentence
      from scheduler.project_forecast` as unknown as [Record<string, Json>];
    assert.deepEqual([plan, usd], [null, null]);
    assert.match(sentence, /calls \(between \d+ and \d+\) in the next \(by 20 days\)$/);
  },
);
