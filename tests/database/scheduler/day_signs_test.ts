import assert from "node:assert/strict";
import { Cron } from "croner";
import type { Sql } from "postgres";
import { Calendar } from "../../support/calendar.ts";
import { cases, someOf } from "../../support/cases.ts";
import { withDatabase } from "../../support/database.ts";
import { seededRandom } from "../../support/random.ts";
import { randomSchedule, withDaySigns } from "../../support/random-schedule.ts";

// Three leap years of 20 are too few for 29 February on each weekday; 5#5 in February comes in 2036 alone.
const calendar = new Calendar(2026, 2045);

/** The dates of a year on which a job of midnight runs. */
async function dates(sql: Sql, days: string, year: number): Promise<string[]> {
  const [dayOfMonth, month, dayOfWeek] = days.split(" ");
  const rows = await sql<{ at: Date }[]>`
    select scheduler.occurrences(${`0 0 ${dayOfMonth} ${month} ${dayOfWeek}`}, 'UTC', ${`${year}-01-01T00:00Z`},
      ${`${year + 1}-01-01T00:00Z`}) as at`;
  return rows.map(({ at }) => at.toISOString().slice(5, 10));
}

// [what it shows, day of month, month and day of week, dates of the year]
const SHOWN: [string, string, number, string[]][] = [
  ["the last day", "L 1-4 *", 2026, ["01-31", "02-28", "03-31", "04-30"]],
  ["the last day of February in a leap year", "L 2 *", 2028, ["02-29"]],
  ["the third day before the last", "L-3 1-3 *", 2026, ["01-28", "02-25", "03-28"]],
  ["30 days before the last is the 1st of the long months alone", "L-30 1-3 *", 2026, [
    "01-01",
    "03-01",
  ]],
  ["the last weekday: Friday for a Saturday and for a Sunday", "LW 1,2,5 *", 2026, [
    "01-30",
    "02-27",
    "05-29",
  ]],
  ["a weekday is nearest to itself", "15W 1 *", 2026, ["01-15"]],
  ["the day before for a Saturday", "15W 8 *", 2026, ["08-14"]],
  ["the day after for a Sunday", "15W 2 *", 2026, ["02-16"]],
  ["Saturday the 1st: Monday the 3rd, in the same month", "1W 8 *", 2026, ["08-03"]],
  ["Sunday the 1st: Monday the 2nd", "1W 2 *", 2026, ["02-02"]],
  ["Sunday the 31st: Friday the 29th, in the same month", "31W 5 *", 2026, ["05-29"]],
  ["Saturday the 31st: Friday the 30th", "31W 1 *", 2026, ["01-30"]],
  ["Sunday the 28th of a short February: Friday the 26th", "28W 2 *", 2027, ["02-26"]],
  ["no 31st, no occurrence", "31W 4,6,9,11 *", 2026, []],
  ["no 30 February, no occurrence", "30W 2 *", 2026, []],
  ["the last Friday", "* 1-3 5L", 2026, ["01-30", "02-27", "03-27"]],
  ["the last Sunday, by both its numbers", "* 1-3 0L,7L", 2026, ["01-25", "02-22", "03-29"]],
  ["the second Friday", "* 1-3 fri#2", 2026, ["01-09", "02-13", "03-13"]],
  ["the fifth Friday, in months that have five", "* * 5#5", 2026, [
    "01-30",
    "05-29",
    "07-31",
    "10-30",
  ]],
  ["signs in a list with plain days", "1,15,L 2 *", 2026, ["02-01", "02-15", "02-28"]],
  ["two signs, or a sign and a day, of one date are one", "L,LW,30 6 *", 2026, ["06-30"]],
  ["a list of weekdays with a sign", "* 1 mon,fri#2", 2026, [
    "01-05",
    "01-09",
    "01-12",
    "01-19",
    "01-26",
  ]],
  ["either day field is enough", "LW 1 mon#1", 2026, ["01-05", "01-30"]],
  ["a star in front: both must match", "*/2 1-6 friL", 2026, ["02-27", "03-27", "05-29"]],
  ["a star in a list of the day of month", "*,L 1-3 monL", 2026, ["01-26", "02-23", "03-30"]],
];

Deno.test("day signs", async (t) => {
  await withDatabase(async ({ sql }) => {
    for (const [shows, days, year, expected] of SHOWN) {
      await t.step(`${shows}: ${days}`, async () => {
        assert.deepEqual(await dates(sql, days, year), expected);
      });
    }
  });
});

Deno.test("next_occurrence() waits 40 years for a fifth Friday in February, and not for a 31W in June", () =>
  withDatabase(async ({ sql }) => {
    const [row] = await sql<{ fifth: Date; never: null; none: null }[]>`
      select scheduler.next_occurrence('0 0 * 2 5#5', 'UTC', '2064-03-01T00:00Z') as fifth,
        scheduler.next_occurrence('0 0 31W 6 *', 'UTC', '2026-01-01T00:00Z') as never,
        scheduler.compile_schedule('0 0 31W 6 *', 'UTC', '2026-01-01T00:00Z') as none`;
    assert.equal(row!.fifth.toISOString(), "2092-02-29T00:00:00.000Z");
    const [later] = await sql<{ fifth: Date }[]>`
      select scheduler.next_occurrence('0 0 * 2 5#5', 'UTC', '2092-03-01T00:00Z') as fifth`;
    assert.equal(later!.fifth.toISOString(), "2104-02-29T00:00:00.000Z");
    assert.deepEqual([row!.never, row!.none], [null, null]);
  }));

const EXPRESSIONS = cases(20_000);

Deno.test(`${EXPRESSIONS} random expressions with day signs match the dates of 20 years that the calendar says`, () =>
  withDatabase(async ({ connect }) => {
    const random = seededRandom(20261130);
    const schedules = new Set<string>();
    while (schedules.size < EXPRESSIONS) {
      const schedule = withDaySigns(random, randomSchedule(random, { starredDays: true }));
      const [, , dayOfMonth, month, dayOfWeek] = schedule.split(" ");
      // Expressions of every month would take most of the time.
      const months = month === "*" && random.chance(0.85)
        ? random.pick(["2", "1-6", "*/2"])
        : month;
      schedules.add(`0 0 ${dayOfMonth} ${months} ${dayOfWeek}`);
    }
    const expressions = [...schedules].map((schedule, id) => ({ id, schedule }));

    // Each half on a connection of its own. Sums stand for the dates: 12 million would be much to send.
    const found = new Map<number, number[]>();
    await Promise.all([0, 1].map(async (half) => {
      const sql = connect();
      for (let from = half * EXPRESSIONS / 2; from < (half + 1) * EXPRESSIONS / 2; from += 500) {
        const batch = sql.json(expressions.slice(from, from + 500));
        const rows = await sql<{ id: number; sums: number[] }[]>`
          select id, array[count(day), coalesce(sum(n), 0), coalesce(sum(n * n), 0), coalesce(sum(n * n % 4999 * n), 0)]::float8[]
            as sums
          from jsonb_to_recordset(${batch}) as cases (id integer, schedule text),
            lateral scheduler.parse_schedule(schedule) as parsed
            left join lateral scheduler.matching_dates(parsed, '2026-01-01', '2045-12-31') on true,
            lateral (select day::date - date '2026-01-01' as n) as numbered
          group by id`;
        for (const { id, sums } of rows) found.set(id, sums);
      }
    }));

    let matched = 0;
    const wrong = expressions.filter(({ id, schedule }) => {
      const [, , ...days] = schedule.split(" ") as [string, string, string, string, string];
      const matches = calendar.matches(...days);
      const sums: [number, number, number, number] = [0, 0, 0, 0];
      for (let n = 0; n < matches.length; n++) {
        if (matches[n] === 0) continue;
        sums[0] += 1;
        sums[1] += n;
        sums[2] += n * n;
        sums[3] += n * n % 4999 * n;
      }
      matched += sums[0];
      return String(sums) !== String(found.get(id));
    });
    console.log(`${matched} dates of ${EXPRESSIONS} expressions`);
    assert.deepEqual(wrong.slice(0, 10), []);
    assert.equal(found.size, EXPRESSIONS);
  }));

Deno.test("next, previous, count and the list of occurrences are those of the calendar, for random expressions with signs", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20261201);
    const expressions = Array.from({ length: cases(100) }, () => {
      const schedule = withDaySigns(random, randomSchedule(random, { starredDays: true }))
        .replace(/^\S+ \S+/, random.pick(["0 0", "59 23", "30 2,14", "*/20 *"]));
      const [minute, hour, dayOfMonth, month, dayOfWeek] = schedule.split(" ") as [
        string,
        string,
        string,
        string,
        string,
      ];
      const hours = hour === "*"
        ? Array.from({ length: 24 }, (_, i) => i)
        : hour.split(",").map(Number);
      const minutes = minute === "*/20" ? [0, 20, 40] : [Number(minute)];
      const expected = calendar.dates(dayOfMonth, month, dayOfWeek).flatMap((date) =>
        hours.flatMap((h) => minutes.map((m) => (date.getTime() + (h * 60 + m) * 60_000) / 1000))
      );
      // Within the 20 years, so that the neighbours are known.
      const at = Date.UTC(2027, 0, 1) / 1000 + random.whole(0, 17 * 365 * 86_400);
      const after = expected.find((moment) => moment > at);
      const before = expected.findLast((moment) => moment <= at);
      return { schedule, at, after: after ?? null, before: before ?? null, expected };
    });
    assert.ok(expressions.filter(({ expected }) => expected.length > 0).length > cases(80));
    // One after the other: a year's worth of 20 years is much for one answer.
    for (const { schedule, at, after, before, expected } of expressions) {
      const [row] = await sql<
        { next: number; previous: number; listed: number[]; counted: number }[]
      >`
        select extract(epoch from scheduler.next_occurrence(${schedule}, 'UTC', to_timestamp(${at})))::float8 as next,
          extract(epoch from scheduler.previous_occurrence(${schedule}, 'UTC', to_timestamp(${at})))::float8 as previous,
          array(select extract(epoch from at)::float8 from scheduler.occurrences(${schedule}, 'UTC',
            '2026-01-01T00:00Z', '2046-01-01T00:00Z') as at order by at) as listed,
          scheduler.count_occurrences(${schedule}, 'UTC', '2026-01-01T00:00Z', '2046-01-01T00:00Z')::integer as counted`;
      assert.deepEqual(row!.listed, expected, schedule);
      assert.equal(row!.counted, expected.length, schedule);
      if (after !== null) assert.equal(row!.next, after, `${schedule} after ${at}`);
      if (before !== null) assert.equal(row!.previous, before, `${schedule} before ${at}`);
    }
  }));

// L-3 and LW in a list are not croner's; its day of month and its day of week are either, as cron's.
const CRONER = [
  ...["L", "LW", "1,15,L", "L,28"].map((day) => `0 0 ${day} * *`),
  ...Array.from({ length: 31 }, (_, i) => `0 0 ${i + 1}W * *`),
  ...["1W,15W", "3,31W", "10,L,20W"].map((day) => `0 0 ${day} * *`),
  ...[0, 1, 2, 3, 4, 5, 6, 7].flatMap((day) =>
    [1, 2, 3, 4, 5].map((nth) => `0 0 * * ${day}#${nth}`)
  ),
  ...[0, 1, 2, 3, 4, 5, 6, 7, "sun", "FRI"].map((day) => `0 0 * * ${day}L`),
  ...["fri#2", "mon,fri#2", "1#1,3#3", "2,5L"].map((day) => `0 0 * * ${day}`),
  ...["0 0 LW * mon#1", "0 0 15W * 1", "0 0 L 2 sunL", "0 0 13 * 5#5"],
];

Deno.test("what croner knows of the signs is the same here, for 20 years", () =>
  withDatabase(async ({ sql }) => {
    for (const schedule of someOf(CRONER)) {
      const expected: string[] = [];
      const cron = new Cron(schedule, { timezone: "UTC", paused: true });
      for (
        let at = cron.nextRun("2025-12-31T23:59:59Z");
        at && at < new Date("2046-01-01T00:00Z");
      ) {
        expected.push(at.toISOString().slice(0, 10));
        at = cron.nextRun(at);
      }
      const rows = await sql<{ at: Date }[]>`
        select scheduler.occurrences(${schedule}, 'UTC', '2026-01-01T00:00Z', '2046-01-01T00:00Z') as at`;
      assert.deepEqual(rows.map(({ at }) => at.toISOString().slice(0, 10)), expected, schedule);
    }
  }));
