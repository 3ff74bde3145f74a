import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { cases } from "../../support/cases.ts";
import { withDatabase } from "../../support/database.ts";
import { seededRandom } from "../../support/random.ts";
import { randomSchedule } from "../../support/random-schedule.ts";
import { refusal } from "../../support/refusal.ts";

/** The `count` occurrences after a moment, as UTC minutes. */
async function next(sql: Sql, schedule: string, zone: string, after: string, count = 1) {
  const found: (string | null)[] = [];
  let at: Date | string | null = after;
  while (found.length < count && at !== null) {
    const [row]: { at: Date | null }[] = await sql`
      select scheduler.next_occurrence(${schedule}, ${zone}, ${at}) as at`;
    at = row!.at;
    found.push(at && at.toISOString().replace(":00.000Z", "Z"));
  }
  return found;
}

// [what it shows, schedule, zone, after, the next ones]
const SHOWN: [string, string, string, string, (string | null)[]][] = [
  [
    "strictly after: an occurrence is not its own next",
    "0 12 * * *",
    "UTC",
    "2026-01-01T12:00:00Z",
    ["2026-01-02T12:00Z"],
  ],
  [
    "a moment within the minute before finds it",
    "0 12 * * *",
    "UTC",
    "2026-01-01T11:59:59.999Z",
    ["2026-01-01T12:00Z"],
  ],
  [
    "a moment within its own minute does not",
    "* * * * *",
    "UTC",
    "2026-01-01T12:00:00.001Z",
    ["2026-01-01T12:01Z"],
  ],
  [
    "New York, spring: a skipped time runs at the first minute after the gap",
    "30 2 * * *",
    "America/New_York",
    "2026-03-07T12:00:00Z",
    ["2026-03-08T07:00Z", "2026-03-09T06:30Z"],
  ],
  [
    "New York, spring: skipped and present times of one minute are one",
    "0,30 2,3 * * *",
    "America/New_York",
    "2026-03-08T06:00:00Z",
    ["2026-03-08T07:00Z", "2026-03-08T07:30Z", "2026-03-09T06:00Z"],
  ],
  [
    "New York, autumn: a repeated time runs at its first showing",
    "30 1 * * *",
    "America/New_York",
    "2026-11-01T00:00:00Z",
    ["2026-11-01T05:30Z", "2026-11-02T06:30Z"],
  ],
  [
    "New York, autumn: asked within the second showing, the first is over",
    "15,45 1 * * *",
    "America/New_York",
    "2026-11-01T06:20:00Z",
    ["2026-11-02T06:15Z"],
  ],
  [
    "New York: hourly follows the real clock over both changes",
    "0 * * * *",
    "America/New_York",
    "2026-11-01T04:30:00Z",
    ["2026-11-01T05:00Z", "2026-11-01T06:00Z", "2026-11-01T07:00Z"],
  ],
  [
    "New York: every 20 minutes over the gap misses nothing and doubles nothing",
    "*/20 * * * *",
    "America/New_York",
    "2026-03-08T06:30:00Z",
    ["2026-03-08T06:40Z", "2026-03-08T07:00Z", "2026-03-08T07:20Z"],
  ],
  [
    "Sundays in New York: the gap moves the minute, not the day",
    "30 2 * * 0",
    "America/New_York",
    "2026-03-02T00:00:00Z",
    ["2026-03-08T07:00Z", "2026-03-15T06:30Z"],
  ],
  [
    "Cairo: midnight is skipped, 01:00 comes instead",
    "0 0 * * *",
    "Africa/Cairo",
    "2026-04-23T12:00:00Z",
    ["2026-04-23T22:00Z", "2026-04-24T21:00Z"],
  ],
  [
    "Santiago: midnight is skipped",
    "30 0 * * *",
    "America/Santiago",
    "2026-09-05T12:00:00Z",
    ["2026-09-06T04:00Z", "2026-09-07T03:30Z"],
  ],
  [
    "Beirut: midnight is skipped",
    "0 0 * * *",
    "Asia/Beirut",
    "2026-03-28T12:00:00Z",
    ["2026-03-28T22:00Z", "2026-03-29T21:00Z"],
  ],
  [
    "Havana: midnight is repeated",
    "30 0 * * *",
    "America/Havana",
    "2026-11-01T00:00:00Z",
    ["2026-11-01T04:30Z", "2026-11-02T05:30Z"],
  ],
  [
    "Havana: midnight is skipped",
    "30 0 * * *",
    "America/Havana",
    "2026-03-07T12:00:00Z",
    ["2026-03-08T05:00Z", "2026-03-09T04:30Z"],
  ],
  [
    "Lord Howe: a gap of half an hour",
    "15 2 * * *",
    "Australia/Lord_Howe",
    "2026-10-03T00:00:00Z",
    ["2026-10-03T15:30Z", "2026-10-04T15:15Z"],
  ],
  [
    "Lord Howe: half an hour is repeated",
    "45 1 * * *",
    "Australia/Lord_Howe",
    "2026-04-04T00:00:00Z",
    ["2026-04-04T14:45Z", "2026-04-05T15:15Z"],
  ],
  [
    "Lord Howe: hourly moves by half an hour of UTC",
    "0 * * * *",
    "Australia/Lord_Howe",
    "2026-04-04T13:30:00Z",
    ["2026-04-04T14:00Z", "2026-04-04T15:30Z", "2026-04-04T16:30Z"],
  ],
  [
    "Lord Howe: half an hour is left out of the hour's count",
    "45 * * * *",
    "Australia/Lord_Howe",
    "2026-10-03T15:20:00Z",
    ["2026-10-03T15:45Z", "2026-10-03T16:45Z"],
  ],
  [
    "Nuuk: the gap is the last hour of Saturday, its times run as Sunday begins",
    "30 23 * * 6",
    "America/Nuuk",
    "2026-03-28T12:00:00Z",
    ["2026-03-29T01:00Z", "2026-04-05T00:30Z"],
  ],
  [
    "Nuuk: where Sunday's first minute is wanted too, they are one",
    "0,30 0,23 * * *",
    "America/Nuuk",
    "2026-03-28T12:00:00Z",
    ["2026-03-29T01:00Z", "2026-03-29T01:30Z", "2026-03-30T00:00Z"],
  ],
  [
    "Scoresbysund: the gap is the last hour of Saturday",
    "15 23 28 3 *",
    "America/Scoresbysund",
    "2026-03-01T12:00:00Z",
    ["2026-03-29T01:00Z"],
  ],
  [
    "Troll: a gap of two hours",
    "59 2 * * *",
    "Antarctica/Troll",
    "2026-03-28T12:00:00Z",
    ["2026-03-29T01:00Z", "2026-03-30T00:59Z"],
  ],
  [
    "Casablanca: Ramadan ends with a gap",
    "30 2 * * *",
    "Africa/Casablanca",
    "2026-03-21T12:00:00Z",
    ["2026-03-22T02:00Z", "2026-03-23T01:30Z"],
  ],
  [
    "Chatham: an offset of 45 minutes, and its gap",
    "50 2 * * *",
    "Pacific/Chatham",
    "2026-09-25T12:00:00Z",
    ["2026-09-25T14:05Z", "2026-09-26T14:00Z", "2026-09-27T13:05Z"],
  ],
  [
    "Kathmandu: an offset of 45 minutes",
    "0 0 * * *",
    "Asia/Kathmandu",
    "2026-01-01T00:00:00Z",
    ["2026-01-01T18:15Z"],
  ],
  [
    "Kiritimati: 14 hours ahead",
    "0 0 1 * *",
    "Pacific/Kiritimati",
    "2026-01-01T00:00:00Z",
    ["2026-01-31T10:00Z"],
  ],
  [
    "Apia: the date that the zone left out runs once, as the next begins",
    "0 12 30 12 *",
    "Pacific/Apia",
    "2011-12-01T00:00:00Z",
    ["2011-12-30T10:00Z", "2012-12-29T22:00Z"],
  ],
  [
    "Monday or the 1st: either day field is enough",
    "0 0 1 * 1",
    "UTC",
    "2026-01-01T00:00:00Z",
    ["2026-01-05T00:00Z", "2026-01-12T00:00Z", "2026-01-19T00:00Z", "2026-01-26T00:00Z"],
  ],
  [
    "a star in front: odd days which are Mondays",
    "0 0 */2 * 1",
    "UTC",
    "2026-01-01T00:00:00Z",
    ["2026-01-05T00:00Z", "2026-01-19T00:00Z", "2026-02-09T00:00Z"],
  ],
  [
    "a star in front of the weekdays: the first Sunday of the month",
    "0 0 1-7 * */7",
    "UTC",
    "2026-01-01T00:00:00Z",
    ["2026-01-04T00:00Z", "2026-02-01T00:00Z", "2026-03-01T00:00Z"],
  ],
  [
    "29 February over 2100, which is no leap year",
    "0 0 29 2 *",
    "UTC",
    "2096-02-29T00:00:00Z",
    ["2104-02-29T00:00Z"],
  ],
  [
    "29 February on a Sunday, 40 years away",
    "0 0 29 2 */7",
    "UTC",
    "2088-02-29T00:00:00Z",
    ["2128-02-29T00:00Z"],
  ],
  ["30 February never comes", "0 0 30 2 *", "America/New_York", "2026-01-01T00:00:00Z", [null]],
  ["31 of the short months never comes", "* * 31 4,6 *", "UTC", "2026-01-01T00:00:00Z", [null]],
  [
    "30 February or a Monday",
    "0 0 30 2 1",
    "UTC",
    "2026-02-20T00:00:00Z",
    ["2026-02-23T00:00Z", "2027-02-01T00:00Z"],
  ],
];

Deno.test("next_occurrence()", async (t) => {
  await withDatabase(async ({ sql }) => {
    for (const [shows, schedule, zone, after, expected] of SHOWN) {
      await t.step(shows, async () => {
        assert.deepEqual(await next(sql, schedule, zone, after, expected.length), expected);
      });
    }
  });
});

Deno.test("next_occurrence() and previous_occurrence() refuse null and infinity", () =>
  withDatabase(async ({ sql }) => {
    for (const at of [null, "infinity", "-infinity"]) {
      for (
        const query of [
          sql`select scheduler.next_occurrence('0 0 * * *', 'UTC', ${at}::text::timestamptz)`,
          sql`select scheduler.previous_occurrence('0 0 * * *', 'UTC', ${at}::text::timestamptz)`,
          sql`select scheduler.occurrences('0 0 * * *', 'UTC', now(), ${at}::text::timestamptz)`,
          sql`select scheduler.compile_schedule('0 0 * * *', 'UTC', ${at}::text::timestamptz)`,
        ]
      ) {
        const error = await refusal(query);
        assert.equal(error.code, "22023");
        assert.match(error.message, /moment/);
      }
    }
  }));

Deno.test("next_occurrence() does not depend on the session's time zone", () =>
  withDatabase(async ({ connect }) => {
    for (const session of ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]) {
      const sql = connect("postgres", { connection: { TimeZone: session } });
      assert.deepEqual(
        await next(sql, "30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2),
        ["2026-03-08T07:00Z", "2026-03-09T06:30Z"],
      );
      const [row] = await sql<{ entry: string; before: Date }[]>`
        select scheduler.compile_schedule('30 2 * * *', 'America/New_York', '2026-01-01T00:00Z') as entry,
          scheduler.previous_occurrence('30 2 * * *', 'America/New_York', '2026-03-08T12:00Z') as before`;
      assert.equal(row!.entry, "*/30 6,7 * * *");
      assert.equal(row!.before.toISOString(), "2026-03-08T07:00:00.000Z");
    }
  }));

Deno.test("next and previous are the ends of occurrences(), for random schedules in every kind of zone", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20260302);
    const zones = ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"].concat(
      ["America/Nuuk", "Africa/Cairo", "Africa/Casablanca", "Antarctica/Troll", "America/Havana"],
      ["America/Santiago", "Pacific/Chatham", "Asia/Kathmandu", "Asia/Gaza", "Asia/Beirut"],
    );
    const changes = await sql<{ zone: string; at: Date }[]>`
      select zone, starts_at as at
      from unnest(${zones}::text[]) as zone,
        scheduler.offset_periods(zone, '2026-01-01T00:00Z', '2027-01-01T00:00Z')`;
    const looked = Array.from({ length: cases(1000) }, () => {
      // Half of the moments lie near a change of the clock.
      const change = random.pick(changes);
      const at = random.chance(0.5)
        ? change.at.getTime() + random.whole(-1800, 1800) * 60_000 + random.whole(0, 59_999)
        : Date.UTC(2026, 0, 1) + random.whole(0, 364 * 1440) * 60_000;
      return {
        schedule: randomSchedule(random, { starredDays: true, timesPerDay: 60 }),
        zone: change.zone,
        at: new Date(at).toISOString(),
      };
    });
    const wrong = await sql`
      select schedule, zone, at, next, first_listed, previous, last_listed
      from jsonb_to_recordset(${
      sql.json(looked)
    }) as cases (schedule text, zone text, at timestamptz),
        lateral (select scheduler.next_occurrence(schedule, zone, at) as next,
          scheduler.previous_occurrence(schedule, zone, at) as previous) as answers,
        lateral (select min(listed) as first_listed from scheduler.occurrences(schedule, zone,
          at + interval '1 microsecond', at + interval '40 days') as listed) as ahead,
        lateral (select max(listed) as last_listed from scheduler.occurrences(schedule, zone,
          at - interval '40 days', at + interval '1 microsecond') as listed) as behind
      where first_listed is distinct from case when next < at + interval '40 days' then next end
        or last_listed is distinct from case when previous >= at - interval '40 days' then previous end
        or next <= at or previous > at`;
    assert.deepEqual([...wrong], []);
  }));
