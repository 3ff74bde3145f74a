// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

/** Schedule and zone, and what each change of 2026 does to it. */
const cases: [schedule: string, zone: string, changes: string[]][] = [
  ["30 2 * * *", "America/New_York", ["2026-03-08 07:00 skipped 02:30 1"]],
  ["30 1 * * *", "America/New_York", ["2026-11-01 06:00 repeated 01:30 1"]],
  ["0 3 * * *", "America/New_York", []],
  ["0 2 * * *", "America/New_York", ["2026-03-08 07:00 skipped 02:00 1"]],
  ["0,30 1-2 * * *", "America/New_York", [
    "2026-03-08 07:00 skipped 02:00-02:30 2",
    "2026-11-01 06:00 repeated 01:00-01:30 2",
  ]],
  ["30 2 * * 1-5", "America/New_York", []],
  ["30 1 1 * *", "America/New_York", ["2026-11-01 06:00 repeated 01:30 1"]],
  ["30 2 * * 0#2", "America/New_York", ["2026-03-08 07:00 skipped 02:30 1"]],
  ["30 2 * * 0L", "America/New_York", []],
  ["20 * * * *", "America/New_York", [
    "2026-03-08 07:00 skipped 02:20 1 by the clock",
    "2026-11-01 06:00 repeated 01:20 1 by the clock",
  ]],
  ["*/15 2 * * *", "Australia/Lord_Howe", [
    "2026-10-03 15:30 skipped 02:00-02:15 2",
  ]],
  ["45 1 * * *", "Australia/Lord_Howe", ["2026-04-04 15:00 repeated 01:45 1"]],
  ["30 2 * * *", "UTC", []],
  ["30 2 * * *", "Asia/Tokyo", []],
  ["90 seconds", "America/New_York", []],
];

t.ledgerTest(
  "the changes of the clock are those that skip or repeat times of the schedule",
  async ({ sql }) => {
    for (const [schedule, zone, wanted] of cases) {
      const rows = await sql`
      select to_char(changes_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as at, change,
        to_char(first_time, 'HH24:MI') as first, to_char(last_time, 'HH24:MI') as last, times, follows_real_clock
      from scheduler.clock_changes(${schedule}, ${zone}, '2026-01-01', '2027-01-01')`;
      const found = rows.map(({ at, change, first, last, times, follows_real_clock }) =>
        `${at} ${change} ${first === last ? first : `${first}-${last}`} ${times}` +
        (follows_real_clock ? " by the clock" : "")
      );
      assert.deepEqual(found, wanted, `${schedule} ${zone}`);
    }
  },
);

t.ledgerTest(
  "what is said of skipped and repeated times is what the engine does",
  async ({ sql }) => {
    for (const [schedule, zone] of cases) {
      const rows = await sql`
      select change, follows_real_clock, times::int,
        (select count(*)::int from scheduler.occurrences(${schedule}, ${zone}, changes_at, changes_at + interval '1 minute'))
          as at_change,
        (select count(*)::int from scheduler.occurrences(${schedule}, ${zone}, changes_at - interval '2 hours',
          changes_at + interval '2 hours') as at
          where at at time zone ${zone} between first_time and last_time) as runs
      from scheduler.clock_changes(${schedule}, ${zone}, '2026-01-01', '2027-01-01')`;
      for (const { change, follows_real_clock, times, at_change, runs } of rows) {
        const what = `${schedule} ${zone} ${change}`;
        if (change === "skipped") {
          assert.equal(runs, 0, what);
          if (!follows_real_clock) assert.equal(at_change, 1, what);
        } else assert.equal(runs, follows_real_clock ? 2 * times : times, what);
      }
    }
  },
);

t.ledgerTest("a schedule or a zone that cannot be read is refused", async ({ sql }) => {
  for (const [schedule, zone] of [["nonsense", "UTC"], ["* * * * *", "Europe/Atlantis"]]) {
    const { code } = await refusal(
      sql`select scheduler.clock_changes(${schedule!}, ${zone!}, '2026-01-01', '2027-01-01')`,
    );
    assert.equal(code, "22023");
  }
});
