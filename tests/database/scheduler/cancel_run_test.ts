import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const cancel = "scheduler.cancel_run($1, $2, $3, $4)";

t.ledgerTest(
  "cancel_run ends a running run with reason and author, frees its lock and sends the next run",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "queue" });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.dispatch(sql, "job", t.after(1));
    assert.equal(
      await t.value(sql, cancel, [id, " it hangs ", " Ada ", t.after(2)]),
      `run ${id} of job is cancelled; if the function is still at work, its next heartbeat tells it to stop`,
    );
    assert.deepEqual(await t.summary(sql, "job"), ["cancelled cron 1", "dispatched cron 1"]);
    const cancelled = await t.run(sql, id);
    assert.equal(cancelled.error_message, "cancelled by Ada: it hangs");
    assert.equal((await t.heartbeat(sql, id, t.after(2))).running, false);
    assert.equal((await t.finish(sql, id, "completed", t.after(3))).finished, false);
    const [line] = await sql`select severity, message from scheduler_activity where run_id = ${id}`;
    assert.deepEqual(line, {
      severity: "warning",
      message: "cancelled by Ada: it hangs",
    });
    assert.equal(
      await t.value(sql, "scheduler.explain('job', $1, $2)", [t.NOON, t.after(3)]),
      "job was cancelled at 2026-03-02 12:00 UTC by Ada: it hangs.",
    );
    await t.assertInvariants(sql);
  },
);

t.ledgerTest(
  "cancel_run cancels one run of a job whose runs are under way together, and leaves the others",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "allow" });
    const first = (await t.dispatch(sql, "job"))!;
    const second = (await t.dispatch(sql, "job", t.after(1)))!;
    await t.begin(sql, first, t.after(1));
    await t.begin(sql, second, t.after(1));
    await t.value(sql, cancel, [second, "why", "who", t.after(2)]);
    assert.deepEqual(await t.summary(sql, "job"), ["running cron 1", "cancelled cron 1"]);
  },
);

t.ledgerTest(
  "cancel_run takes back a request that pg_net has not sent, and no other",
  async ({ sql }) => {
    await t.register(sql, "hook", { target: "https://hook.example.test/" });
    await t.register(sql, "other", { target: "https://other.example.test/" });
    const id = (await t.dispatch(sql, "hook"))!;
    await t.dispatch(sql, "other");
    assert.match(
      await t.value(sql, cancel, [id, "wrong address", "Ada", t.after(0.1)]),
      /is cancelled before its request was sent$/,
    );
    assert.deepEqual((await t.requests(sql)).map(({ url }) => url), [
      "https://other.example.test/",
    ]);

    // Ids of pg_net start again: the request with the run's id may be a stranger's.
    const reused = (await t.dispatch(sql, "hook", t.after(1)))!;
    await sql`update net.http_request_queue set id = 1000 where url = 'https://hook.example.test/'`;
    await sql`update scheduler_runs set request_id = (
    select id from net.http_request_queue where url = 'https://other.example.test/') where id = ${reused}`;
    assert.match(
      await t.value(sql, cancel, [reused, "why", "who", t.after(2)]),
      /is cancelled; what was asked of its URL may still be done$/,
    );
    assert.equal((await t.requests(sql)).length, 2);
  },
);

t.ledgerTest(
  "cancel_run cancels a run that waits, and leaves one that is over as it is",
  async ({ sql }) => {
    await t.register(sql, "job", { max_attempts: 2 });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.finish(sql, id, "failed", t.NOON);
    const retry = (await t.runs(sql, "job"))[1]!;
    assert.equal(
      await t.value(sql, cancel, [retry.id, "no use", "Ada", t.after(1)]),
      `run ${retry.id} of job is cancelled before it was sent`,
    );
    const before = await t.runs(sql, "job");
    assert.equal(
      await t.value(sql, cancel, [id, "no use", "Ada", t.after(1)]),
      `run ${id} of job is over already: failed (job_error)`,
    );
    assert.match(
      await t.value(sql, cancel, [retry.id, "x", "y", t.after(1)]),
      /is over already: cancelled/,
    );
    assert.deepEqual(await t.runs(sql, "job"), before);
  },
);

t.ledgerTest(
  "cancel_run reaches a run whose job was taken out of the registry",
  async ({ sql }) => {
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job"))!;
    await sql`select scheduler.unregister_job('job')`;
    await t.value(sql, cancel, [id, "why", "who", t.after(1)]);
    assert.deepEqual(await t.summary(sql, "job"), ["cancelled cron 1"]);
    assert.deepEqual([...await sql`select * from scheduler_locks`], []);
  },
);

t.ledgerTest("cancel_run needs a run, a reason and an author", async ({ sql }) => {
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  const refused = async (...args: unknown[]) => {
    const error = await refusal(t.value(sql, cancel, [...args, t.after(1)]));
    return `${error.code} ${error.message}`;
  };
  const unknown = crypto.randomUUID();
  assert.equal(await refused(unknown, "r", "a"), `SD002 there is no run ${unknown}`);
  assert.equal(await refused(null, "r", "a"), "SD002 there is no run null");
  for (const missing of ["", " \n", null]) {
    const message = `22023 cannot cancel run ${id}: reason and author must be given`;
    assert.equal(await refused(id, missing, "a"), message);
    assert.equal(await refused(id, "r", missing), message);
  }
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
});

t.ledgerTest(
  "what waits goes with the next pulse where cancel_run has read the answer that ended the run",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "queue", max_attempts: 1 });
    const first = (await t.dispatch(sql, "job"))!;
    await t.dispatch(sql, "job", t.after(1));
    // The pulse looks at all that waits once a minute: not in the next one.
    await t.pulse(sql, t.after(1));
    await t.answer(sql, first, { status: 404 }, t.after(1.05));
    const said = await t.value(sql, cancel, [first, "why", "ann", t.after(1.1)]);
    assert.match(said, /is over already: failed \(not_found\)/);
    await t.pulse(sql, t.after(1.2));
    assert.deepEqual(await t.summary(sql, "job"), [
      "failed cron 1 not_found",
      "dispatched cron 1",
    ]);
  },
);
