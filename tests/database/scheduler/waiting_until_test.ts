// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "runs behind a breaker wait for its new try when the one that tried has failed",
  async ({ sql }) => {
    await sql`select scheduler.register_job('job', null, max_attempts => 1, overlap_policy => 'queue',
      breaker_failures => 1, breaker_cooldown_seconds => 300)`;
    const fail = async (now: Date) => {
      const [row] = await sql`select id from scheduler_runs where status = 'dispatched'`;
      await t.begin(sql, row!.id, now);
      await t.finish(sql, row!.id, "failed", now);
    };
    const waiting = async () =>
      (await t.runs(sql, "job")).filter((row) => row.status === "queued")
        .map((row) => [row.waiting.for, row.waiting.until && new Date(row.waiting.until)]);
    await sql`select scheduler.enqueue_runs('job', '[{}, {}, {}]', null, ${t.NOON})`;
    await fail(t.NOON);
    assert.deepEqual(await waiting(), [["breaker", t.after(5)], ["breaker", t.after(5)]]);
    await t.pulse(sql, t.after(5));
    await fail(t.after(5.5));
    assert.deepEqual(await waiting(), [["breaker", t.after(10.5)]]);
    // The pulse just before has looked at all that waits, so that this one does so for the wake alone.
    await t.pulse(sql, t.after(10.4));
    assert.equal((await waiting()).length, 1);
    await t.pulse(sql, t.after(10.5));
    assert.deepEqual(await waiting(), []);
    assert.deepEqual((await t.summary(sql, "job")).at(-1), "dispatched enqueued 1");
  },
);

t.ledgerTest("a pause that is made longer is said by what waits", async ({ sql }) => {
  await sql`select scheduler.register_job('job', null)`;
  await sql`select scheduler.pause('job', 'night', 'Ada', ${t.after(10)}, ${t.NOON})`;
  await sql`select scheduler.enqueue_runs('job', '[{}]', null, ${t.NOON})`;
  await sql`select scheduler.pause('job', 'a longer night', 'Ada', ${t.after(30)}, ${t.after(5)})`;
  const [run] = await t.runs(sql, "job");
  assert.deepEqual([run!.waiting.for, new Date(run!.waiting.since), new Date(run!.waiting.until)], [
    "paused",
    t.NOON,
    t.after(30),
  ]);
  await t.pulse(sql, t.after(10));
  assert.deepEqual(await t.summary(sql, "job"), ["queued enqueued 1"]);
  await t.pulse(sql, t.after(30));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched enqueued 1"]);
});

t.ledgerTest("a retry that joins those that wait says what they wait for", async ({ sql }) => {
  await t.register(sql, "job", {
    schedule: "0 * * * *",
    overlap_policy: "queue",
    backoff_base_seconds: 1,
  });
  const first = (await t.dispatch(sql, "job"))!;
  await sql`select scheduler.pause('job', 'a look', 'Ada', null, ${t.NOON})`;
  await sql`select scheduler.enqueue_runs('job', '[{"priority": 10}]', null, ${t.NOON})`;
  await t.begin(sql, first, t.NOON, "job");
  await t.finish(sql, first, "failed", t.NOON);
  await t.pulse(sql, t.after(1));
  const waiting = (await t.runs(sql, "job")).filter((row) => row.status === "queued");
  assert.deepEqual(waiting.map((row) => [row.trigger, row.waiting.for, row.run_after]), [
    ["retry", "paused", null],
    ["enqueued", "paused", null],
  ]);
});

t.ledgerTest(
  "the time to wait for a dependency begins anew, also of a run that a pause holds back meanwhile",
  async ({ sql }) => {
    await t.register(sql, "first", { target: "job" });
    await t.register(sql, "job", { depends_on: ["first"], dependency_timeout_seconds: 600 });
    const waits = JSON.stringify({
      for: "dependency",
      name: "first",
      since: t.NOON,
      until: t.after(10),
    });
    await sql`
      insert into scheduler_runs (job_name, status, trigger, scheduled_for, waiting) values
        ('job', 'queued', 'cron', ${t.NOON}, ${waits}::text::jsonb),
        ('job', 'queued', 'cron', ${t.after(1)},
          jsonb_build_object('for', 'paused', 'name', null, 'dependency', ${waits}::text::jsonb))`;
    await sql`select scheduler.wait_anew(jobs, ${
      t.after(60)
    }) from scheduler_jobs as jobs where name = 'job'`;
    const rows = (await t.runs(sql, "job")).map((row) => row.waiting.dependency ?? row.waiting);
    assert.deepEqual(
      rows.map((row) => [row.for, new Date(row.since), new Date(row.until)]),
      Array(2).fill(["dependency", t.after(60), t.after(70)]),
    );
  },
);
