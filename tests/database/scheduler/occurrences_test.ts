import assert from "node:assert/strict";
import { CronExpressionParser } from "cron-parser";
import type { Sql } from "postgres";
import { cases } from "../../support/cases.ts";
import { withDatabase } from "../../support/database.ts";
import { type Random, seededRandom } from "../../support/random.ts";
import { randomSchedule } from "../../support/random-schedule.ts";

async function occurrences(sql: Sql, schedule: string, zone: string, from: string, to: string) {
  const rows = await sql<{ at: Date }[]>`
    select scheduler.occurrences(${schedule}, ${zone}, ${from}, ${to}) as at`;
  return rows.map(({ at }) => at.toISOString().replace(":00.000Z", "Z"));
}

Deno.test("occurrences() holds its beginning and not its end", () =>
  withDatabase(async ({ sql }) => {
    const hourly = (from: string, to: string) => occurrences(sql, "0 * * * *", "UTC", from, to);
    assert.deepEqual(await hourly("2026-01-01T01:00:00Z", "2026-01-01T03:00:00Z"), [
      "2026-01-01T01:00Z",
      "2026-01-01T02:00Z",
    ]);
    assert.deepEqual(await hourly("2026-01-01T01:00:00.001Z", "2026-01-01T03:00:00.001Z"), [
      "2026-01-01T02:00Z",
      "2026-01-01T03:00Z",
    ]);
    assert.deepEqual(await hourly("2026-01-01T01:00:00Z", "2026-01-01T01:00:00Z"), []);
    assert.deepEqual(await hourly("2026-01-01T03:00:00Z", "2026-01-01T01:00:00Z"), []);
  }));

Deno.test("occurrences() cut in two at any moment of a change are the same as in one", () =>
  withDatabase(async ({ sql }) => {
    const cuts = [
      ["America/New_York", "2026-03-08T05:00:00Z", "2026-03-08T09:00:00Z"],
      ["America/New_York", "2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z"],
      ["America/Nuuk", "2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z"],
      ["Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-04T17:00:00Z"],
    ] as const;
    for (const [zone, from, to] of cuts) {
      const wrong = await sql`
        select cut
        from (values ('*/7 0-4,23 * * *'), ('*/7 * * * *')) as schedules (schedule),
          generate_series(${from}::timestamptz, ${to}::timestamptz, interval '3 minutes') as cut
        where array(select scheduler.occurrences(schedule, ${zone}, ${from}, ${to}))
          <> array(select scheduler.occurrences(schedule, ${zone}, ${from}, cut))
            || array(select scheduler.occurrences(schedule, ${zone}, cut, ${to}))`;
      assert.deepEqual([...wrong], [], zone);
    }
  }));

Deno.test("occurrences() of an hourly schedule follow the real clock", () =>
  withDatabase(async ({ sql }) => {
    // The repeated hour counts twice, and no hour is left out in spring: 24 a day of UTC, whatever the zone does.
    for (const date of ["2026-03-08", "2026-11-01"]) {
      const found = await occurrences(
        sql,
        "30 * * * *",
        "America/New_York",
        `${date}T00:00Z`,
        `${date}T24:00Z`,
      );
      assert.equal(found.length, 24);
    }
    // One hour short of all is a schedule of local times.
    const found = await occurrences(
      sql,
      "30 0-22 * * *",
      "America/New_York",
      "2026-11-01T04:00Z",
      "2026-11-02T05:00Z",
    );
    assert.equal(found.length, 23);
  }));

// Both the library and cron take either day field where both are restricted; a star with a step is tested apart.
const EXPRESSIONS = cases(5000);
const EACH = 4;

Deno.test(`${EXPRESSIONS} random schedules in UTC occur when the library says`, () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20260303);
    const listed: { schedule: string; after: string; expected: string[] }[] = [];
    let impossible = 0;
    while (listed.length < EXPRESSIONS) {
      const schedule = randomSchedule(random, { starredDays: false });
      const after = new Date(Date.UTC(2020, 0, 1) + random.whole(0, 20 * 365 * 86_400) * 1000);
      const expected = byLibrary(schedule, after);
      if (expected === "unread") continue;
      if (expected === null) impossible += 1;
      listed.push({ schedule, after: after.toISOString(), expected: expected ?? [] });
    }
    console.log(`${EXPRESSIONS} schedules, of which ${impossible} never occur`);
    assert.ok(impossible < EXPRESSIONS / 20);

    const wrong = await sql`
      select schedule, after, expected, listed
      from jsonb_to_recordset(${
      sql.json(listed)
    }) as cases (schedule text, after timestamptz, expected timestamptz[]),
        lateral (select scheduler.next_occurrence(schedule, 'UTC', after) as first) as a,
        lateral (select scheduler.next_occurrence(schedule, 'UTC', first) as second where first is not null) as b,
        lateral (select scheduler.next_occurrence(schedule, 'UTC', second) as third where second is not null) as c,
        lateral (select scheduler.next_occurrence(schedule, 'UTC', third) as fourth where third is not null) as d,
        lateral (select array[first, second, third, fourth] as listed) as next
      where listed is distinct from expected`;
    assert.deepEqual([...wrong], []);
    const [counted] = await sql<{ answered: number }[]>`
      select count(scheduler.next_occurrence(schedule, 'UTC', after))::integer as answered
      from jsonb_to_recordset(${sql.json(listed)}) as cases (schedule text, after timestamptz)`;
    assert.equal(counted!.answered, EXPRESSIONS - impossible);
  }));

/** The next occurrences; null where the library says that there are none; it does not read a value named twice. */
function byLibrary(schedule: string, after: Date): string[] | null | "unread" {
  try {
    return CronExpressionParser.parse(schedule, { currentDate: after, tz: "UTC" }).take(EACH)
      .map((date) => date.toISOString()!);
  } catch (error) {
    if (/duplicate/.test(String(error))) return "unread";
    assert.match(String(error), /Invalid explicit day of month definition/, schedule);
    return null;
  }
}

Deno.test("a day field that begins with a star must match as well, another is enough by itself", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20260304);
    const month = (text: string, day: Date) => dayMatches(text, day.getUTCDate(), 1);
    const week = (text: string, day: Date) => dayMatches(text, day.getUTCDay(), 0);
    for (let i = 0; i < 300; i++) {
      const dayOfMonth = random.pick(["*", step(random, 31), `${random.whole(1, 28)}`, "1-31"]);
      const dayOfWeek = random.pick(["*", step(random, 7), `${random.whole(0, 6)}`, "0-6"]);
      const both = dayOfMonth.startsWith("*") || dayOfWeek.startsWith("*");
      const expected: string[] = [];
      for (let date = Date.UTC(2027, 11, 1); date < Date.UTC(2028, 3, 1); date += 86_400_000) {
        const day = new Date(date);
        const matches = [month(dayOfMonth, day), week(dayOfWeek, day)];
        if (both ? matches.every(Boolean) : matches.some(Boolean)) {
          expected.push(day.toISOString().replace(":00.000Z", "Z"));
        }
      }
      const schedule = `0 0 ${dayOfMonth} * ${dayOfWeek}`;
      assert.deepEqual(
        await occurrences(sql, schedule, "UTC", "2027-12-01T00:00Z", "2028-04-01T00:00Z"),
        expected,
        schedule,
      );
    }
  }));

function step(random: Random, last: number): string {
  return `*/${random.whole(1, last)}`;
}

function dayMatches(text: string, value: number, first: number): boolean {
  if (text.startsWith("*")) return (value - first) % Number(text.split("/")[1] ?? 1) === 0;
  return text.includes("-") || Number(text) === value;
}
