import assert from "node:assert/strict";
import { refusal } from "../support/refusal.ts";
import * as t from "../support/scheduler.ts";

t.ledgerTest(
  "next_runs gives instants and local times, and says what a pause will skip",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "30 1 * * *", time_zone: "America/New_York" });
    await t.register(sql, "off", { enabled: false });
    await sql`select scheduler.pause('job', 'moving', 'Ada', ${new Date(
      "2026-03-08T00:00Z",
    )}, ${t.NOON})`;
    const rows = await sql`
    select job_name, run_at, local_time::text, time_zone, note
    from scheduler.next_runs(null, 2, ${new Date("2026-03-07T00:00:00Z")})`;
    assert.deepEqual([...rows], [
      {
        job_name: "job",
        run_at: new Date("2026-03-07T06:30:00Z"),
        local_time: "2026-03-07 01:30:00",
        time_zone: "America/New_York",
        note: "will be skipped: paused by Ada: moving",
      },
      {
        job_name: "job",
        run_at: new Date("2026-03-08T06:30:00Z"),
        local_time: "2026-03-08 01:30:00",
        time_zone: "America/New_York",
        note: null,
      },
    ]);
  },
);

t.ledgerTest("next_runs refuses an unknown job and a count out of range", async ({ sql }) => {
  await t.register(sql, "job");
  for (const [name, count] of [["nobody", 1], ["job", 0], ["job", 1001], ["job", null]]) {
    const error = await refusal(sql.unsafe("select scheduler.next_runs($1, $2)", [name!, count!]));
    assert.equal(error.code, "22023");
  }
  assert.equal((await sql`select * from scheduler.next_runs('job', 1000)`).length, 1000);
});
