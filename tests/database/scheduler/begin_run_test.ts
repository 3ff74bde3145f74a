import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("50 begins of one run at once have one winner", async (db) => {
  await t.register(db.sql, "job");
  const id = (await t.dispatch(db.sql, "job"))!;
  const connections = Array.from({ length: 50 }, () => db.connect());
  await Promise.all(connections.map((connection) => connection`select 1`));
  const answers = await Promise.all(
    connections.map((connection) => t.begin(connection, id, t.after(0.1))),
  );
  assert.equal(answers.filter((answer) => answer.begun).length, 1);
  for (const refused of answers.filter((answer) => !answer.begun)) {
    assert.deepEqual(refused, { begun: false, reason: "already begun" });
  }
});

t.ledgerTest("begin says what the run is and keeps the lock for its time", async ({ sql }) => {
  await t.register(sql, "job", { timeout_seconds: 300 });
  const id = (await t.dispatch(sql, "job"))!;
  assert.deepEqual(await t.begin(sql, id, t.after(0.5)), {
    begun: true,
    run_id: id,
    job_name: "job",
    scheduled_for: "2026-03-02T12:00:00+00:00",
    attempt: 1,
    trigger: "cron",
    timeout_seconds: 300,
    heartbeat_seconds: 10,
    interval_from: "2026-03-02T11:59:00+00:00",
    interval_to: "2026-03-02T12:00:00+00:00",
  });
  const [lock] = await sql`select * from scheduler_locks`;
  assert.equal(lock!.holder, "tester");
  assert.ok(lock!.expires_at >= t.after(0.5 + 5), lock!.expires_at);
});

t.ledgerTest("begin is refused with the reason", async ({ sql }) => {
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  const refused = async (run: string, fn?: string) => (await t.begin(sql, run, t.NOON, fn)).reason;
  assert.equal(await refused(crypto.randomUUID()), "unknown run");
  assert.equal(await refused(id, "another"), "the run is for job");
  await t.begin(sql, id, t.NOON);
  await t.finish(sql, id, "failed", t.after(1));
  assert.equal(await refused(id), "already over: failed (job_error)");
  const [retry] = await sql`select id from scheduler_runs where trigger = 'retry'`;
  assert.equal(await refused(retry!.id), "not dispatched yet");
});

t.ledgerTest("a begin by a clock that is behind keeps the times in order", async ({ sql }) => {
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  await t.begin(sql, id, t.after(-5));
  await t.finish(sql, id, "completed", t.after(-4));
  const row = await t.run(sql, id);
  assert.deepEqual(row.started_at, t.NOON);
  assert.deepEqual(row.completed_at, t.NOON);
  assert.equal(row.duration_ms, 0);
});

t.ledgerTest(
  "a person's call is booked with the payload it ran with: the one given, or the registered one",
  async ({ sql }) => {
    await t.register(sql, "job", { payload: { a: 1 }, overlap_policy: "allow" });
    await t.register(sql, "other", { target: "job", payload: { b: 2 }, overlap_policy: "allow" });
    const booked = async (fn: string, job: string | null, payload: unknown) => {
      const { run_id } = await t.value(sql, "scheduler.begin_manual_run($1, $2, $3, 'me', $4)", [
        fn,
        job,
        payload,
        t.NOON,
      ]);
      return (await t.run(sql, run_id)).payload;
    };
    assert.deepEqual(await booked("job", null, null), { a: 1 });
    assert.deepEqual(await booked("job", "other", null), { b: 2 });
    assert.deepEqual(await booked("job", "other", {}), {});
    assert.deepEqual(await booked("job", null, { c: 3 }), { c: 3 });
    assert.deepEqual(await booked("nameless", null, null), {});
  },
);

t.ledgerTest(
  "a person's call is refused while the job is at work, and begins after it",
  async ({ sql }) => {
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job"))!;
    const manual = (job: string | null) =>
      t.value(sql, "scheduler.begin_manual_run('job', $1, '{}', 'me', $2)", [job, t.after(1)]);
    const busy = await manual("job");
    assert.equal(busy.reason, "busy");
    assert.equal(busy.run_id, id);
    assert.deepEqual(await manual("nobody"), {
      begun: false,
      reason: "unknown job",
      jobs: ["job"],
    });
    assert.equal((await t.runs(sql, "job")).length, 1);
    await t.begin(sql, id, t.NOON);
    await t.finish(sql, id, "completed", t.after(0.5));
    const begun = await manual(null);
    assert.equal(begun.begun, true);
    await t.finish(sql, begun.run_id, "failed", t.after(2));
    assert.deepEqual(await t.summary(sql, "job"), [
      "completed cron 1 ok",
      "failed manual 1 job_error",
    ]);
    await t.assertInvariants(sql);
  },
);
