import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { cases } from "../../support/cases.ts";
import { withDatabase } from "../../support/database.ts";
import { seededRandom } from "../../support/random.ts";
import { randomSchedule, withDaySigns } from "../../support/random-schedule.ts";
import {
  ENTRY_FIELDS,
  matchesDate,
  matchesMoment,
  readUtcEntry,
  type UtcEntry,
} from "../../support/utc-entry.ts";

const FROM = "2026-01-10T12:34:56Z";
const UNTIL = "2046-01-10T12:34:56Z";
const FOREVER = "2067-01-10T12:34:56Z";

async function compile(sql: Sql, schedule: string, zone: string): Promise<string | null> {
  const [row] = await sql<{ entry: string | null }[]>`
    select scheduler.compile_schedule(${schedule}, ${zone}, ${FROM}) as entry`;
  return row!.entry;
}

// [what it shows, schedule, zone, entry]
const SHOWN: [string, string, string, string | null][] = [
  ["both offsets, and minute 0 for the gap", "30 2 * * *", "America/New_York", "*/30 6,7 * * *"],
  ["no gap on a Monday", "30 2 * * 1", "America/New_York", "30 6,7 * * 1"],
  ["but on a Sunday", "30 2 * * 0", "America/New_York", "*/30 6,7 * * 0"],
  ["outside of gaps the minute stays", "30 9 * * *", "America/New_York", "30 13,14 * * *"],
  ["January has the winter offset alone", "0 9 * 1 *", "America/New_York", "0 14 * 1 *"],
  ["July has the summer offset alone", "0 9 * 7 *", "America/New_York", "0 13 * 7 *"],
  [
    "1 November has the winter offset where the clock changes on it, and nowhere else",
    "30 19 1 11 *",
    "America/New_York",
    "30 0,23 1,2 11 *",
  ],
  ["a day later in UTC", "0 22 * * 1-5", "America/New_York", "0 2,3 * * 2-6"],
  ["a day earlier in UTC", "0 8 * * 1", "Asia/Tokyo", "0 23 * * 0"],
  ["the day before the 1st", "0 8 1 * *", "Asia/Tokyo", "0 23 28-31 * *"],
  ["the day before 1 March", "0 8 1 3 *", "Asia/Tokyo", "0 23 28,29 2 *"],
  ["the day after the 31st", "0 22 31 * *", "America/Bogota", "0 3 1 1,2,4,6,8,9,11 *"],
  ["New Year's Eve", "0 22 31 12 *", "America/Bogota", "0 3 1 1 *"],
  ["every six hours", "15 */6 * * *", "America/New_York", "15 4-22/6,5-23/6 * * *"],
  ["an offset of 45 minutes", "0 0 * * *", "Asia/Kathmandu", "15 18 * * *"],
  ["hourly in Lord Howe", "0 * * * *", "Australia/Lord_Howe", "*/30 * * * *"],
  ["hourly in Kathmandu", "5 * * * *", "Asia/Kathmandu", "20 * * * *"],
  ["hourly where offsets are whole hours", "5 * * * *", "Europe/Berlin", "5 * * * *"],
  ["every minute of a weekday", "* * * * 1-5", "Asia/Tokyo", "* * * * 0-5"],
  ["Nuuk's gap at midnight", "30 23 * * *", "America/Nuuk", "*/30 0,1 * * *"],
  ["Sunday's gap in Nuuk, on Saturdays", "30 23 * * 6", "America/Nuuk", "*/30 0,1 * * 0"],
  [
    "either day field, each shifted by itself",
    "0 22 1,15 * 1",
    "America/Bogota",
    "0 3 2,16 * 2",
  ],
  [
    "odd days that are Mondays: a star stays in front",
    "0 22 */2 * 1",
    "America/Bogota",
    "0 3 */31,2-30/2 * 2",
  ],
  [
    "the first Sunday: widened by the 1st, which a star can stand before",
    "0 22 1-7 * */7",
    "America/Bogota",
    "0 3 */31,2-8 * 1",
  ],
  ["29 February keeps its weekdays free", "0 9 29 2 *", "Asia/Tokyo", "0 0 29 2 *"],
  ["30 February needs no entry", "0 0 30 2 *", "Asia/Tokyo", null],
  ["the last day", "0 9 L * *", "UTC", "0 9 28-31 * *"],
  ["the last day, which is one day earlier in UTC", "0 8 L * *", "Asia/Tokyo", "0 23 27-30 * *"],
  ["the last day, which is the 1st in UTC", "0 22 L * *", "America/Bogota", "0 3 1 * *"],
  ["the third day before the last", "0 9 L-3 * *", "UTC", "0 9 25-28 * *"],
  ["the last day of April", "0 9 L 4 *", "UTC", "0 9 30 4 *"],
  ["the last weekday: a star stands before the 1st", "0 9 LW * *", "UTC", "0 9 */31,26-31 * 1-5"],
  ["the weekday nearest to the 15th", "0 9 15W * *", "UTC", "0 9 14-16 * */7,1-5"],
  ["the weekday nearest to the 1st", "0 9 1W * *", "UTC", "0 9 */31,2,3 * 1-5"],
  [
    "the weekday nearest to the 15th, a day later in UTC",
    "0 22 15W * *",
    "America/Bogota",
    "0 3 15-17 * */7,2-6",
  ],
  ["the last Friday", "0 9 * * 5L", "UTC", "0 9 */31,22-31 * 5"],
  ["the last Friday of February", "0 9 * 2 friL", "UTC", "0 9 */31,22-29 2 5"],
  ["the second Friday", "0 9 * * fri#2", "UTC", "0 9 */31,8-14 * 5"],
  ["the fifth Friday", "0 9 * * 5#5", "UTC", "0 9 */31,29-31 * 5"],
  [
    "the first Sunday, on Saturdays of UTC",
    "0 8 * * sun#1",
    "Asia/Tokyo",
    "0 23 */31,2-6,28-31 * 6",
  ],
  ["every Monday and the second Friday", "0 9 * * mon,fri#2", "UTC", "0 9 * * 1,5"],
  ["either: the last weekday or the last Friday", "0 9 LW * 5L", "UTC", "0 9 28-31 * 5"],
  [
    "either: the days that Monday to Friday cover are not named",
    "0 9 LW * 1-5",
    "UTC",
    "0 9 * * 1-5",
  ],
  [
    "either: the weekday that the days cover is not named",
    "0 9 10-31 * 1#1,5L",
    "UTC",
    "0 9 10-31 * 1",
  ],
  ["either: the 1st or the second Friday", "0 9 1 * 5#2", "UTC", "0 9 1 * 5"],
  ["31W of a month of 30 days needs no entry", "0 9 31W 6 *", "UTC", null],
  ["a name", "@weekly", "Asia/Tokyo", "0 15 * * 6"],
];

Deno.test("compile_schedule()", async (t) => {
  await withDatabase(async ({ sql }) => {
    for (const [shows, schedule, zone, entry] of SHOWN) {
      await t.step(`${shows}: ${schedule} in ${zone} is ${entry}`, async () => {
        assert.equal(await compile(sql, schedule, zone), entry);
      });
    }
  });
});

// What comes in UTC comes back in its shortest form.
const CANONICAL: Record<string, string> = {
  "0,15,30,45 * * * *": "*/15 * * * *",
  "*/15 0-23 1-31 1-12 0-7": "*/15 * * * *",
  "0-59 * * * *": "* * * * *",
  "0,30 * * * *": "*/30 * * * *",
  "5,35 * * * *": "5,35 * * * *",
  "25,40,55 * * * *": "25-55/15 * * * *",
  "1,2,3,4 * * * *": "1-4 * * * *",
  "3,1 * * * *": "1,3 * * * *",
  "0,1 * * * *": "0,1 * * * *",
  "0,59 * * * *": "0,59 * * * *",
  "30 1-23/2 * * *": "30 1-23/2 * * *",
  "0 9-17 * * MON-FRI": "0 9-17 * * 1-5",
  "0 0 * * sun": "0 0 * * 0",
  "0 0 * * 7": "0 0 * * 0",
  "0 0 * * fri-sun": "0 0 * * 0,5,6",
  "0 0 1 jan,jul *": "0 0 1 1,7 *",
  "0 0 1 */3 *": "0 0 1 */3 *",
  "0 0 31 * *": "0 0 31 * *",
  "0 0 29 2 *": "0 0 29 2 *",
  "0 0 1 * 1": "0 0 1 * 1",
  "0 0 1-31 * 1": "0 0 * * *",
  "0 0 1-31/2 * 1": "0 0 1-31/2 * 1",
  "0 0 */2 * 1": "0 0 */2 * 1",
  "0 0 1-7 * */7": "0 0 1-7 * */7",
  "0 0 1 * 0-6/2": "0 0 1 * 0-6/2",
  "0 0 31 2 1": "0 0 * 2 1",
};

Deno.test("compile_schedule() gives a schedule in UTC back in its shortest form", () =>
  withDatabase(async ({ sql }) => {
    for (const [schedule, entry] of Object.entries(CANONICAL)) {
      assert.equal(await compile(sql, schedule, "UTC"), entry, schedule);
    }
  }));

// A schedule of seconds, and its entry.
const INTERVALS: Record<number, string> = {
  1: "1 seconds",
  7: "3 seconds",
  30: "15 seconds",
  59: "29 seconds",
  60: "* * * * *",
  61: "30 seconds",
  90: "45 seconds",
  119: "59 seconds",
  120: "*/2 * * * *",
  150: "59 seconds",
  180: "*/3 * * * *",
  240: "*/4 * * * *",
  300: "*/5 * * * *",
  360: "*/6 * * * *",
  420: "* * * * *",
  480: "*/4 * * * *",
  540: "*/3 * * * *",
  600: "*/10 * * * *",
  720: "*/12 * * * *",
  900: "*/15 * * * *",
  1200: "*/20 * * * *",
  1500: "*/5 * * * *",
  1800: "*/30 * * * *",
  2700: "*/15 * * * *",
  3600: "0 * * * *",
  3601: "59 seconds",
  5400: "*/30 * * * *",
  7200: "0 */2 * * *",
  10_800: "0 */3 * * *",
  14_400: "0 */4 * * *",
  18_000: "0 * * * *",
  21_600: "0 */6 * * *",
  28_800: "0 */8 * * *",
  36_000: "0 */2 * * *",
  43_200: "0 */12 * * *",
  64_800: "0 */6 * * *",
  86_340: "* * * * *",
  86_000: "59 seconds",
  86_399: "59 seconds",
  86_400: "0 0 * * *",
};

Deno.test("compile_schedule() gives an interval of whole minutes the longest period that meets its grid, another half of it", () =>
  withDatabase(async ({ sql }) => {
    for (const [seconds, entry] of Object.entries(INTERVALS)) {
      assert.equal(await compile(sql, `${seconds} seconds`, "Asia/Kathmandu"), entry, seconds);
    }
  }));

Deno.test("each moment of an interval's grid is in a minute of its entry, or the entry comes twice between two of them", () =>
  withDatabase(async ({ sql }) => {
    const rows = await sql<{ seconds: number; entry: string; needs: boolean; covers: boolean }[]>`
      select seconds, entry, scheduler.entry_needs_seconds(entry) as needs,
        scheduler.entry_covers(entry, scheduler.next_occurrence(seconds || ' seconds', 'UTC', ${FROM})) as covers
      from generate_series(1, 86400) as seconds, scheduler.compile_schedule(seconds || ' seconds', 'UTC') as entry
      where seconds <= 4000 or seconds % 60 = 0 or seconds % 997 = 0`;
    assert.ok(rows.length > 5000);
    for (const { seconds, entry, needs, covers } of rows) {
      const label = `${seconds} seconds is ${entry}`;
      assert.ok(covers, label);
      assert.equal(needs, seconds % 60 !== 0, label);
      if (needs) {
        const period = Number(/^(\d+) seconds$/.exec(entry)![1]);
        assert.ok(2 * period <= seconds || seconds === 1, label);
        assert.ok(
          period === 59 || 2 * (period + 1) > seconds,
          `${label}: there is a longer period`,
        );
      } else {
        // A day of the entry's minutes: a step from midnight, the longest of cron's that divides the interval.
        const read = readUtcEntry(entry);
        const fires = Array.from({ length: 1440 }, (_, minute) => minute).filter((minute) =>
          read.hours.has(Math.floor(minute / 60)) && read.minutes.has(minute % 60)
        );
        const step = 1440 / fires.length;
        assert.deepEqual(fires, fires.map((_, i) => i * step), label);
        assert.equal(seconds % (step * 60), 0, label);
        const steps = Array.from({ length: 1440 }, (_, i) => i + 1)
          .filter((other) => 60 % other === 0 || other % 60 === 0 && 1440 % other === 0);
        assert.equal(
          step,
          Math.max(...steps.filter((other) => seconds % (other * 60) === 0)),
          label,
        );
      }
    }
  }));

Deno.test("an entry of one zone covers 20 years from where it begins, not before", () =>
  withDatabase(async ({ sql }) => {
    // Nuuk changed its winter offset in 2023 for the last time.
    const [row] = await sql<{ before: string; after: string }[]>`
      select scheduler.compile_schedule('0 12 * * *', 'America/Nuuk', '2022-01-01T00:00Z') as before,
        scheduler.compile_schedule('0 12 * * *', 'America/Nuuk', '2026-01-01T00:00Z') as after`;
    assert.deepEqual({ ...row }, { before: "0 13-15 * * *", after: "0 13,14 * * *" });
  }));

Deno.test("the entries of random schedules cover every occurrence of 20 years and hold nothing that none needs", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20260306);
    const zones = (await sql<{ zone: string }[]>`
      select name as zone from pg_timezone_names where name ~ '/' order by name`).map((row) =>
      row.zone
    );
    const odd = ["America/New_York", "Australia/Lord_Howe", "America/Nuuk", "Africa/Casablanca"]
      .concat("Antarctica/Troll", "Pacific/Chatham", "Asia/Gaza", "Africa/Cairo", "UTC");
    let occurrences = 0;
    for (let i = 0; i < cases(125); i++) {
      const schedule = randomSchedule(random, { starredDays: true, timesPerDay: 12 });
      const zone = random.pick(random.chance(0.5) ? odd : zones);
      const needed = await neededMoments(sql, schedule, zone);
      occurrences += needed.length;
      const entry = await compile(sql, schedule, zone);
      if (needed.length === 0) assert.equal(entry, null, schedule);
      else assertCoversMinimally(`${schedule} in ${zone} is ${entry}`, schedule, entry!, needed);
    }
    console.log(`${occurrences} occurrences`);
  }));

Deno.test("the entries of random schedules with day signs cover the 41 years of every kind of date, and no more", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20261202);
    const zones = [
      "UTC",
      "America/New_York",
      "Asia/Tokyo",
      "Pacific/Kiritimati",
      "Australia/Lord_Howe",
    ];
    for (let i = 0; i < cases(60); i++) {
      const schedule = withDaySigns(random, randomSchedule(random, { starredDays: true }))
        .replace(/^\S+ \S+/, random.pick(["0 0", "59 23", "30 2,14"]));
      const zone = random.pick(zones);
      const needed = await neededMoments(sql, schedule, zone, FOREVER);
      const entry = await compile(sql, schedule, zone);
      if (needed.length === 0) assert.equal(entry, null, schedule);
      else {
        assertCoversMinimally(`${schedule} in ${zone} is ${entry}`, schedule, entry!, needed);
      }
    }
  }));

Deno.test("the entries of schedules that run all day cover a sample of every year's dates", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20260307);
    for (let i = 0; i < cases(30); i++) {
      const schedule = randomSchedule(random, { starredDays: true })
        .replace(/^\S+ \S+/, random.pick(["*/5 *", "* 1-22", "*/7 0-20/2", "* *", "9 *"]));
      const zone = random.pick(["America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]);
      const entry = await compile(sql, schedule, zone);
      const needed = await sql<{ at: Date }[]>`
        select at from scheduler.offset_periods(${zone}, ${FROM}, ${UNTIL}),
          scheduler.occurrences(${schedule}, ${zone}, starts_at - interval '1 day', starts_at + interval '1 day') as at
        where at between ${FROM} and ${UNTIL}`;
      const read = entry === null ? null : readUtcEntry(entry);
      const missed = needed.find(({ at }) => !read || !matchesMoment(read, at));
      assert.equal(missed, undefined, `${schedule} in ${zone} is ${entry}`);
    }
  }));

async function neededMoments(sql: Sql, schedule: string, zone: string, until = UNTIL) {
  const [row] = await sql<{ minutes: number[] | null }[]>`
    select array_agg((extract(epoch from at) / 60)::integer) as minutes
    from scheduler.occurrences(${schedule}, ${zone}, ${FROM}, ${until}) as at`;
  return (row!.minutes ?? []).map((minute) => new Date(minute * 60_000));
}

/** Each occurrence matches; and without any one value of any field, some occurrence would not. */
function assertCoversMinimally(label: string, schedule: string, text: string, needed: Date[]) {
  const entry = readUtcEntry(text);
  const missed = needed.find((moment) => !matchesMoment(entry, moment));
  assert.equal(missed, undefined, `${label}: misses ${missed?.toISOString()}`);

  const dates = datesOfTwentyYears();
  const [, , dayOfMonth, , dayOfWeek] = text.split(" ") as string[] as [
    string,
    string,
    string,
    string,
    string,
  ];
  const freeWeekdays = /^\S+ \S+ \S+ \S+ (\*|0-6|0-7)$/.test(schedule);
  for (const field of ENTRY_FIELDS) {
    for (const value of entry[field]) {
      const without: UtcEntry = { ...entry, [field]: new Set(entry[field]) };
      without[field].delete(value);
      if (needed.some((moment) => !matchesMoment(without, moment))) continue;
      // Two ways to be there for nothing: no date is let through by it (31 in June), or the star needs it in front.
      const idle = field !== "minutes" && field !== "hours" &&
        !dates.some((date) => matchesDate(entry, date) && !matchesDate(without, date));
      const starred = (field === "daysOfMonth" && value === 1 && dayOfMonth.startsWith("*/31,")) ||
        (field === "daysOfMonth" && value === 1 && dayOfMonth.startsWith("*/")) ||
        (field === "daysOfWeek" && value === 0 && dayOfWeek.startsWith("*/"));
      const free = field === "daysOfWeek" && dayOfWeek === "*" && freeWeekdays;
      assert.ok(idle || starred || free, `${label}: nothing needs ${value} of ${field}`);
    }
  }

  // No entry by one day field alone would be woken on fewer dates.
  const fires = dates.filter((date) => matchesDate(entry, date)).length;
  const daysOfMonth = new Set(needed.map((moment) => moment.getUTCDate()));
  const daysOfWeek = new Set(needed.map((moment) => moment.getUTCDay()));
  const byMonth = dates.filter((date) =>
    entry.months.has(date.getUTCMonth() + 1) && daysOfMonth.has(date.getUTCDate())
  );
  const byWeek = dates.filter((date) =>
    entry.months.has(date.getUTCMonth() + 1) && daysOfWeek.has(date.getUTCDay())
  );
  assert.ok(fires <= byMonth.length, `${label}: by days of the month it would be smaller`);
  if (!freeWeekdays) {
    assert.ok(fires <= byWeek.length, `${label}: by weekdays it would be smaller`);
  }
}

let dates: Date[] | undefined;
function datesOfTwentyYears(): Date[] {
  const first = Date.parse(FROM);
  return dates ??= Array.from({ length: 7305 }, (_, i) => new Date(first + i * 86_400_000));
}
