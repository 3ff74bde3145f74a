import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { seededRandom } from "../../support/random.ts";
import { randomSchedule } from "../../support/random-schedule.ts";

const ZONES = [
  "UTC",
  "America/New_York",
  "Europe/Berlin",
  "Australia/Lord_Howe",
  "America/Nuuk",
  "Asia/Beirut",
  "Asia/Kathmandu",
  "Antarctica/Troll",
];

Deno.test("count_occurrences() counts what occurrences() lists, over changes of the clock", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20261129);
    for (let round = 0; round < 250; round++) {
      const schedule = randomSchedule(random, { starredDays: true, timesPerDay: 96 });
      const zone = random.pick(ZONES);
      const from = new Date(Date.UTC(2026, 0, 1) + random.whole(0, 400 * 24 * 60) * 60_000);
      const days = random.pick([0.05, 1, 4, 300]);
      const to = new Date(from.getTime() + random.whole(1, days * 24 * 60) * 60_000);
      const [row] = await sql`
        select scheduler.count_occurrences(${schedule}, ${zone}, ${from}, ${to})::int as counted,
          (select count(*) from scheduler.occurrences(${schedule}, ${zone}, ${from}, ${to}))::int as listed`;
      assert.equal(
        row!.counted,
        row!.listed,
        `${schedule} ${zone} ${from.toJSON()} ${to.toJSON()}`,
      );
    }
  }));

Deno.test("newest_occurrences() lists the end of what occurrences() lists", () =>
  withDatabase(async ({ sql }) => {
    for (
      const [schedule, limit] of [["* * * * *", 1000], ["0 3 * * 1", 5], ["0 0 29 2 *", 3]] as const
    ) {
      const [row] = await sql`
        with listed as (
          select at from scheduler.occurrences(${schedule}, 'Europe/Berlin', '2024-01-01', '2026-01-01') as at
          order by at desc limit ${limit})
        select scheduler.newest_occurrences(${schedule}, 'Europe/Berlin', '2024-01-01', '2026-01-01', ${limit})
          = array(select at from listed order by at) as same`;
      assert.equal(row!.same, true, schedule);
    }
  }));

Deno.test("count_occurrences() from within an hour that is shown twice", () =>
  withDatabase(async ({ sql }) => {
    const wrong = await sql`
      select zone, schedule, begins
      from (values ('America/New_York', timestamptz '2026-11-01 05:00+00'), ('Antarctica/Troll', '2026-10-25 00:00+00'),
          ('Australia/Lord_Howe', '2026-04-04 14:30+00'), ('Africa/Cairo', '2026-10-29 20:30+00')) as changes (zone, change),
        (values ('*/7 0-4,22-23 * * *'), ('*/7 * * * *'), ('30 1 * * *'), ('0 0 * * 0,5')) as schedules (schedule),
        lateral generate_series(change - interval '3 hours', change + interval '4 hours', interval '10 minutes') as begins
      where scheduler.count_occurrences(schedule, zone, begins, change + interval '5 days')
        <> (select count(*) from scheduler.occurrences(schedule, zone, begins, change + interval '5 days'))`;
    assert.deepEqual([...wrong], []);
  }));
