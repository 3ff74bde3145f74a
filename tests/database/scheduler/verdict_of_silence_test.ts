import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

const once = { schedule: "0 12 * * *", max_attempts: 1 };

t.ledgerTest(
  "a request still in pg_net's queue is not_sent, one that is gone is lost",
  async ({ sql }) => {
    await t.register(sql, "waiting", once);
    await t.register(sql, "gone", once);
    await t.dispatch(sql, "waiting");
    const gone = await t.run(sql, await t.start(sql, "gone"));
    await sql`delete from net.http_request_queue where id = ${gone.request_id}`;
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await t.summary(sql, "gone"), ["dispatched cron 1"]);
    await t.pulse(sql, t.after(1.01));
    assert.deepEqual(await t.summary(sql, "waiting"), ["failed cron 1 not_sent"]);
    assert.deepEqual(await t.summary(sql, "gone"), ["failed cron 1 lost"]);
  },
);

t.ledgerTest("success without a receipt is no_receipt", async ({ sql }) => {
  await t.register(sql, "job", once);
  await t.answer(sql, (await t.dispatch(sql, "job"))!, { status: 200 }, t.after(0.1));
  await t.pulse(sql, t.after(2));
  assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 no_receipt"]);
});

t.ledgerTest("a URL has its timeout before it is lost", async ({ sql }) => {
  await t.register(sql, "job", {
    ...once,
    target: "https://example.test/",
    timeout_seconds: 48,
  });
  const { request_id } = await t.run(sql, await t.dispatch(sql, "job"));
  await sql`delete from net.http_request_queue where id = ${request_id}`;
  await t.pulse(sql, t.after(1.8));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
  await t.pulse(sql, t.after(1.9));
  assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 lost"]);
});

t.ledgerTest(
  "a heartbeat that stops is stalled, work past the deadline is timed_out",
  async ({ sql }) => {
    for (const name of ["silent", "busy"]) {
      await t.register(sql, name, { ...once, timeout_seconds: 120 });
      await t.begin(sql, (await t.dispatch(sql, name))!, t.NOON, name);
    }
    const busy = (await t.runs(sql, "busy"))[0]!.id;
    for (const minute of [0.9, 1, 1.1, 2.2]) {
      await t.heartbeat(sql, busy, t.after(minute));
      await t.pulse(sql, t.after(minute));
      const silent = minute > 1 ? "failed cron 1 stalled" : "running cron 1";
      assert.deepEqual(await t.summary(sql, "silent"), [silent]);
      assert.deepEqual(await t.summary(sql, "busy"), ["running cron 1"]);
    }
    await t.pulse(sql, t.after(2.26));
    assert.deepEqual(await t.summary(sql, "busy"), ["failed cron 1 timed_out"]);
    assert.deepEqual(await t.heartbeat(sql, busy, t.after(3)), {
      running: false,
      status: "failed",
    });
  },
);

t.ledgerTest(
  "the reason that a function gives for its failure becomes the verdict",
  async ({ sql }) => {
    for (
      const [outcome, expected] of [
        ["completed", "completed cron 1 ok"],
        ["failed", "failed cron 1 job_error"],
        ["timed_out", "failed cron 1 timed_out"],
        ["interrupted", "failed cron 1 interrupted"],
      ] as const
    ) {
      const name = outcome.replace("_", "-");
      await t.register(sql, name, once);
      const id = (await t.dispatch(sql, name))!;
      await t.begin(sql, id, t.NOON, name);
      await t.finish(sql, id, outcome, t.NOON);
      assert.deepEqual(await t.summary(sql, name), [expected]);
    }
  },
);

t.ledgerTest(
  "a request that is not_sent is taken back, so that it cannot go out beside its retry",
  async ({ sql }) => {
    await t.register(sql, "url", { target: "https://example.test/", schedule: "0 12 * * *" });
    await t.dispatch(sql, "url");
    await t.pulse(sql, t.after(2));
    assert.deepEqual(await t.summary(sql, "url"), ["failed cron 1 not_sent", "queued retry 2"]);
    assert.equal((await t.requests(sql)).length, 0);
  },
);

t.ledgerTest(
  "a request that pg_net is sending at this moment is not judged yet",
  async ({ sql, admin }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *" });
    await t.dispatch(sql, "job");
    await admin.begin(async (worker) => {
      await worker`delete from net.http_request_queue`;
      await t.pulse(sql, t.after(2));
      assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
    });
    await t.pulse(sql, t.after(3));
    assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 lost", "queued retry 2"]);
  },
);

t.ledgerTest(
  "a URL job taken out of the registry while its request is under way keeps its receipt",
  async ({ sql }) => {
    await t.register(sql, "url", { target: "https://example.test/", schedule: "0 12 * * *" });
    const id = (await t.dispatch(sql, "url"))!;
    await sql`select scheduler.unregister_job('url')`;
    await t.answer(sql, id, { status: 200 }, t.after(0.1));
    await t.pulse(sql, t.after(0.2));
    assert.deepEqual(await t.summary(sql, "url"), ["completed cron 1 ok"]);
  },
);
