import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { cases } from "../../support/cases.ts";
import { normal, placeOf } from "../../support/days.ts";
import { quietRandom } from "../../support/random.ts";
import * as t from "../../support/scheduler.ts";

const today = "2026-03-02";
const dayMs = 86_400_000;
/** The date so many days before today. */
const before = (ago: number) =>
  new Date(Date.parse(today) - ago * dayMs).toISOString().slice(0, 10);
const daysAgo = (date: Date) => Math.round((Date.parse(today) - date.getTime()) / dayMs);

interface Trend {
  days: number | null;
  first_day: Date;
  last_day: Date;
  level: number;
  slope: number | null;
  slope_least: number;
  slope_most: number;
}

/** The trend of values of the last days, the newest of yesterday; null is a day without a value. */
async function trendOf(sql: Sql, values: (number | null)[]): Promise<Trend> {
  const points = values.map((value, place) => [before(values.length - place), value] as const)
    .filter(([, value]) => value !== null);
  const [row] = await sql`
    select (trend).* from (select scheduler.trend_of(${points.map(([day]) => day)}::date[], ${
    points.map(([, value]) => value)
  }::float8[], ${today}) as trend) as found`;
  return row as unknown as Trend;
}

const line = (days: number, level: number, slope: number) =>
  Array.from({ length: days }, (_, place) => level + slope * (place - days));

t.ledgerTest("of fewer than 14 days nothing is said, of 14 a clear trend", async ({ sql }) => {
  assert.equal((await trendOf(sql, [])).days, null);
  assert.equal((await trendOf(sql, [5])).days, null);
  assert.equal((await trendOf(sql, line(13, 100, 2))).days, null);
  const { days, level, slope, slope_least, slope_most, first_day } = await trendOf(
    sql,
    line(14, 100, 2),
  );
  assert.deepEqual([days, level, slope, slope_least, slope_most], [14, 100, 2, 2, 2]);
  assert.equal(daysAgo(first_day), 14);
});

t.ledgerTest("what is no trend has none", async ({ sql }) => {
  const random = quietRandom(4);
  for (
    const [name, values] of [
      ["all zero", Array(60).fill(0)],
      ["all alike", Array(60).fill(7e14)],
      ["a week of its own", Array.from({ length: 56 }, (_, i) => [5, 6, 7, 8, 9, 1, 2][i % 7]!)],
      ["up within each week", Array.from({ length: 35 }, (_, i) => 100 + 10 * (i % 7))],
      ["noise", Array.from({ length: 90 }, () => 100 + 20 * normal(random))],
      ["one odd day", [...Array(40).fill(10), 1e15, ...Array(10).fill(10)]],
      ["a fifth of odd days", Array.from({ length: 60 }, (_, i) => i % 5 === 4 ? 1e9 * i : 3)],
    ] as [string, number[]][]
  ) {
    const { days, slope } = await trendOf(sql, values);
    assert.deepEqual([days, slope], [values.length, null], name);
  }
});

t.ledgerTest("gaps, outliers and weeks do not hide a trend", async ({ sql }) => {
  const random = quietRandom(5);
  const clean = line(90, 1000, 5);
  for (
    const [name, values] of [
      ["gaps", clean.map((value) => random.chance(0.6) ? null : value)],
      ["a week without a run", clean.map((value, i) => i > 40 && i < 55 ? null : value)],
      ["outliers", clean.map((value) => random.chance(0.15) ? value * random.whole(2, 50) : value)],
      ["only on weekdays", clean.map((value, i) => i % 7 > 4 ? null : value)],
      ["once a week", line(180, 1000, 5).map((value, i) => i % 7 === 3 ? value : null)],
      ["weekends", clean.map((value, i) => i % 7 > 4 ? value - 300 : value)],
    ] as [string, (number | null)[]][]
  ) {
    const { slope, level } = await trendOf(sql, values);
    assert.ok(slope !== null && Math.abs(slope - 5) < 0.1, `${name}: ${slope}`);
    if (name !== "weekends") assert.ok(Math.abs(level - 1000) < 30, `${name}: ${level}`);
  }
  const falling = await trendOf(sql, line(40, 100, -3));
  assert.deepEqual([falling.slope, falling.level], [-3, 100]);
});

t.ledgerTest("what lies before a step is left out", async ({ sql }) => {
  const noise = quietRandom(6);
  const level = (of: number, days: number) =>
    Array.from({ length: days }, () => of * (1 + 0.05 * normal(noise)));
  for (const [first, then] of [[60, 30], [30, 60], [20, 14], [120, 30], [90, 90]] as const) {
    const found = await trendOf(sql, [...level(1000, first), ...level(2500, then)]);
    const what = `${first} then ${then}`;
    assert.equal(found.slope, null, what);
    assert.ok(Math.abs(found.level - 2500) < 100, `${what}: ${found.level}`);
    // A day or two of the old level do no harm.
    assert.ok(found.days! <= then + 2, `${what}: ${found.days}`);
  }
  // Ten days after a step there is no trend yet; the newest fortnight says where it stands.
  const fresh = await trendOf(sql, [...level(1000, 50), ...level(2500, 10)]);
  assert.equal(fresh.slope, null);
  assert.ok(Math.abs(fresh.level - 2500) < 150, String(fresh.level));
  const growing = await trendOf(sql, [...level(100, 60), ...line(40, 1000, 10)]);
  assert.ok(Math.abs(growing.slope! - 10) < 0.5 && growing.days! <= 42, `${growing.slope}`);
  // Down and up again, and huge.
  const twice = await trendOf(sql, [...level(5e14, 40), ...level(1e3, 40), ...level(9e14, 40)]);
  assert.equal(twice.slope, null);
  assert.ok(Math.abs(twice.level - 9e14) < 5e13, String(twice.level));
});

/** As Sen and Hirsch have it, pair by pair. */
function theilSen(days: number[], values: number[]) {
  const season = days.length >= 28 ? 7 : 1;
  const slopes: number[] = [];
  let rising = 0;
  for (const [i, later] of days.entries()) {
    for (const [j, earlier] of days.entries()) {
      if (later <= earlier || (later - earlier) % season !== 0) continue;
      const slope = (values[i]! - values[j]!) / (later - earlier);
      slopes.push(slope);
      rising += Math.sign(slope);
    }
  }
  slopes.sort((a, b) => a - b);
  let variance = 0;
  for (let rest = 0; rest < season; rest++) {
    const n = days.filter((day) => day % season === rest).length;
    variance += n * (n - 1) * (2 * n + 5) / 18;
  }
  const n = slopes.length;
  const reach = 1.96 * Math.sqrt(variance);
  return {
    z: (rising - Math.sign(rising)) / Math.sqrt(variance),
    slope: (slopes[Math.floor((n - 1) / 2)]! + slopes[Math.floor(n / 2)]!) / 2,
    slope_least: slopes[Math.max(1, Math.floor((n - reach) / 2)) - 1],
    slope_most: slopes[Math.min(n, Math.ceil((n + reach) / 2) + 1) - 1],
  };
}

t.ledgerTest("the line is that of all pairs, one by one", async ({ sql }) => {
  const random = quietRandom(7);
  for (let round = 0; round < cases(100); round++) {
    const days = Array.from({ length: random.whole(20, 60) }, (_, i) => 9000 + i)
      .filter(() => random.chance(0.8));
    const values = days.map((day) => random.whole(0, 30) + (round % 3) * (day - 9000));
    const [found] = await sql`
      select (scheduler.theil_sen(${days}::integer[], ${values}::float8[])).*`;
    const expected = theilSen(days, values);
    for (const key of ["z", "slope", "slope_least", "slope_most"] as const) {
      assert.ok(Math.abs(found![key] - expected[key]!) < 1e-9, `round ${round}: ${key}`);
    }
  }
});

t.ledgerTest("a percentile of a histogram is at most 2.5 % off", async ({ sql }) => {
  const random = quietRandom(8);
  const percentile = (runs: number[], share: number) => {
    const counts = new Map<number, number>();
    for (const ms of runs) counts.set(placeOf(ms), (counts.get(placeOf(ms)) ?? 0) + 1);
    const [low, high] = [Math.min(...counts.keys()), Math.max(...counts.keys())];
    const text = Array.from({ length: high - low + 1 }, (_, i) => counts.get(low + i) ?? "NULL");
    return t.value(sql, "scheduler.percentile_ms($1::text::integer[], $2, $3, $4)", [
      `[${low}:${high}]={${text}}`,
      share,
      Math.min(...runs),
      Math.max(...runs),
    ]);
  };
  for (let round = 0; round < cases(100); round++) {
    const scale = 10 ** random.whole(0, 8);
    const runs = Array.from(
      { length: random.whole(1, 200) },
      () =>
        Math.min(
          2_147_483_647,
          Math.round(scale * Math.exp(random.whole(1, 9) / 6 * normal(random))),
        ),
    );
    const sorted = [...runs].sort((a, b) => a - b);
    for (const share of [0.5, 0.95, 0.99]) {
      const exact = sorted[Math.ceil(share * runs.length - 1e-9) - 1]!;
      const found = await percentile(runs, share);
      assert.ok(
        Math.abs(found - exact) <= Math.max(1, exact * 0.0251),
        `round ${round}, ${share} of ${runs.length}: ${found}, in truth ${exact}`,
      );
    }
  }
  assert.equal(await percentile([12_345], 0.95), 12_345);
  assert.equal(await percentile([0, 0, 0], 0.95), 0);
  assert.equal(await t.value(sql, "scheduler.percentile_ms('{}', 0.95, null, null)"), null);
  const places: number[] = await t.value(
    sql,
    "array(select scheduler.duration_place(ms) from unnest('{-5, 0, 1, 2, 2147483647}'::bigint[]) as ms)",
  );
  assert.deepEqual(places, [0, 0, 0, 15, 441]);
});

t.ledgerTest("a line arrives at a limit, or it does not", async ({ sql }) => {
  const arrival = async (values: number[], limit: number) => {
    const [row] = await sql`
      select (arrival).* from (select scheduler.arrival_of(scheduler.trend_of(${
      values.map((_, place) => before(values.length - place))
    }::date[], ${values}::float8[], ${today}), ${limit}, ${today}) as arrival) as found`;
    const inDays = (date: Date | null) => date === null ? null : 0 - daysAgo(date);
    return [row!.on_day, row!.earliest, row!.latest].map(inDays);
  };
  const growing = line(60, 1000, 10);
  assert.deepEqual(await arrival(growing, 1600), [60, 60, 60]);
  assert.deepEqual(await arrival(growing, 1001), [1, 0, 1]);
  // There already; three times as far as it reaches back; further; falling; still.
  assert.deepEqual(await arrival(growing, 1000), [null, null, null]);
  assert.deepEqual(await arrival(growing, 2800), [180, 180, 180]);
  assert.deepEqual(await arrival(growing, 2820), [null, null, null]);
  assert.deepEqual(await arrival(line(60, 1000, -10), 900), [null, null, null]);
  assert.deepEqual(await arrival(line(60, 1000, 0), 1010), [null, null, null]);
  const random = quietRandom(9);
  const [on, earliest, latest] = await arrival(
    growing.map((value) => value + 60 * normal(random)),
    1600,
  );
  assert.ok(earliest! < on! && on! < latest!, `${earliest} ${on} ${latest}`);
  assert.ok(earliest! > 30 && latest! < 120, `${earliest} ${on} ${latest}`);
});

t.ledgerTest("a share has Wilson's interval, and one odd day is left out", async ({ sql }) => {
  const share = async (expression: string) => {
    const [row] = await sql.unsafe(
      `select (share).* from (select ${expression} as share) as found`,
    );
    return [row!.share, row!.least, row!.most].map((value) =>
      value === null ? null : Math.round(value * 1e4) / 1e4
    );
  };
  // By SciPy: binomtest(5, 100).proportion_ci(0.99, "wilson") and so on.
  assert.deepEqual(await share("scheduler.share_of(5, 100)"), [0.05, 0.0168, 0.1392]);
  assert.deepEqual(await share("scheduler.share_of(0, 10)"), [0, 0, 0.3989]);
  assert.deepEqual(await share("scheduler.share_of(10, 10)"), [1, 0.6011, 1]);
  assert.deepEqual(await share("scheduler.share_of(0, 0)"), [null, null, null]);
  assert.equal(
    (await share("scheduler.share_without_worst_day('{0,9,1}', '{10,10,10}')"))[0],
    0.05,
  );
  assert.equal((await share("scheduler.share_without_worst_day('{9}', '{10}')"))[0], null);
});

t.ledgerTest("a usual day is the mean of the weekdays' medians", async ({ sql }) => {
  // Four weeks, weekends of 2 among days of 10, and one day of a million.
  const values = Array.from({ length: 28 }, (_, i) => i === 9 ? 1e6 : i % 7 > 4 ? 2 : 10);
  const usual = await t.value(sql, "scheduler.usual_a_day($1::date[], $2::float8[])", [
    values.map((_, place) => before(28 - place)),
    values,
  ]);
  assert.ok(Math.abs(usual - (5 * 10 + 2 * 2) / 7) < 1e-9, String(usual));
});
