import assert from "node:assert/strict";
import { withDatabase } from "../support/database.ts";
import { seededRandom } from "../support/random.ts";
import { randomSchedule } from "../support/random-schedule.ts";

const ZONES = [
  "UTC",
  "America/New_York",
  "Europe/Berlin",
  "Australia/Lord_Howe",
  "America/Nuuk",
  "Asia/Beirut",
  "Asia/Kathmandu",
];

Deno.test("count_occurrences() counts what occurrences() lists, over changes of the clock", () =>
  withDatabase(async ({ sql }) => {
    const random = seededRandom(20261129);
    for (let round = 0; round < 120; round++) {
      const schedule = randomSchedule(random, { starredDays: true, timesPerDay: 96 });
      const zone = random.pick(ZONES);
      const from = new Date(Date.UTC(2026, 0, 1) + random.whole(0, 400 * 24 * 60) * 60_000);
      const to = new Date(from.getTime() + random.whole(1, 300 * 24 * 60) * 60_000);
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
