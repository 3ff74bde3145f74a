// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "the newest of several late occurrences runs",
  async ({ sql }) => {
    await t.register(sql, "job", {}, t.after(-3));
    await t.dispatch(sql, "job");
    assert.deepEqual(await t.summary(sql, "job"), [
      "missed cron 1",
      "missed cron 1",
      "missed cron 1",
      "dispatched cron 1",
    ]);
    const [first] = await t.runs(sql, "job");
    assert.deepEqual([first!.skip_kind, first!.skip_reason], [
      "superseded",
      "nobody fired it in time, and the occurrence of 2026-03-02 12:00 UTC was due by then",
    ]);
  },
);

t.ledgerTest(
  "a pulse in a due minute starts the occurrence of that minute, which makes up for what was missed",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 * * * *" }, t.after(-60));
    await t.pulse(sql, t.after(0.001));
    assert.deepEqual(await t.summary(sql, "job"), ["missed cron 1", "dispatched cron 1"]);
    assert.equal(await t.dispatch(sql, "job", t.after(0.002)), null);
    assert.deepEqual(await t.summary(sql, "job"), ["missed cron 1", "dispatched cron 1"]);
  },
);

t.ledgerTest(
  "with misfire policy all the occurrence that is on time waits behind those caught up",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "*/10 * * * *", misfire_policy: "all" }, t.after(-30));
    await t.dispatch(sql, "job");
    assert.deepEqual(await t.summary(sql, "job"), [
      "dispatched catch_up 1",
      "queued catch_up 1",
      "queued catch_up 1",
      "queued cron 1",
    ]);
  },
);

t.ledgerTest(
  "a job registered with other times first gets the rows of its old ones",
  async ({ sql }) => {
    const [clock] = await sql`select date_trunc('hour', now()) - interval '2 hours' as since`;
    await t.register(sql, "job", { schedule: "0 * * * *" }, clock!.since);
    await sql`select scheduler.register_job('job', '30 4 * * *')`;
    const rows = await t.runs(sql, "job");
    assert.deepEqual(rows.map(({ scheduled_for }) => scheduled_for.getTime()), [
      ...[0, 1, 2].map((hour) => clock!.since.getTime() + hour * 3_600_000),
    ]);
  },
);

t.ledgerTest(
  "late occurrences of a paused job are skipped because of the pause, each of them",
  async ({ sql }) => {
    await t.register(sql, "job", {}, t.after(-2));
    await sql`select scheduler.pause('job', 'moving', 'Ada', null, ${t.after(-3)})`;
    await t.dispatch(sql, "job");
    const reasons = (await t.runs(sql, "job")).map(({ skip_reason }) => skip_reason);
    assert.deepEqual(reasons, Array(3).fill("paused by Ada: moving"));
  },
);

t.ledgerTest(
  "late occurrences from a pause that has ended are skipped, and the newest one runs",
  async ({ sql }) => {
    await t.register(sql, "job", {}, t.after(-3));
    await sql`select scheduler.pause('job', 'moving', 'Ada', ${t.after(-1.5)}, ${t.after(-4)})`;
    await t.dispatch(sql, "job");
    assert.deepEqual((await t.runs(sql, "job")).map(({ skip_reason }) => skip_reason), [
      "paused by Ada: moving",
      "paused by Ada: moving",
      "nobody fired it in time, and the occurrence of 2026-03-02 12:00 UTC was due by then",
      null,
    ]);
  },
);
