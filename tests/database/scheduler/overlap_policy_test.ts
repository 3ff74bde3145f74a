import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

async function dispatchEachMinute(sql: Sql, overlapPolicy: string, minutes: number) {
  await t.register(sql, "job", { overlap_policy: overlapPolicy, timeout_seconds: 600 });
  const ids = [];
  for (let minute = 0; minute < minutes; minute++) {
    ids.push((await t.dispatch(sql, "job", t.after(minute)))!);
    if (minute === 0) await t.begin(sql, ids[0]!, t.NOON);
    await t.heartbeat(sql, ids[0]!, t.after(minute));
  }
  return ids;
}

t.ledgerTest(
  "overlap policy skip leaves out what comes due while a run is at work",
  async ({ sql }) => {
    const [first, second] = await dispatchEachMinute(sql, "skip", 2);
    assert.deepEqual(await t.summary(sql, "job"), ["running cron 1", "skipped cron 1"]);
    assert.equal(
      (await t.run(sql, second!)).skip_reason,
      `overlap: run ${first} was under way`,
    );
    await t.finish(sql, first!, "completed", t.after(1.5));
    await t.dispatch(sql, "job", t.after(2));
    assert.deepEqual((await t.summary(sql, "job")).at(-1), "dispatched cron 1");
  },
);

t.ledgerTest(
  "a retry that goes out at the moment of the next occurrence is under way, not at work, and the row says no more",
  async ({ sql }) => {
    await t.register(sql, "job", { max_attempts: 2, backoff_base_seconds: 1 });
    const first = (await t.dispatch(sql, "job"))!;
    await t.answer(sql, first, { status: 404 }, t.after(0.5));
    await t.pulse(sql, t.after(0.98));
    const skipped = (await t.dispatch(sql, "job", t.after(1)))!;
    const [, retry] = await t.runs(sql, "job");
    assert.deepEqual(retry!.dispatched_at, t.after(1));
    assert.equal(
      (await t.run(sql, skipped)).skip_reason,
      `overlap: run ${retry!.id} was under way`,
    );
  },
);

t.ledgerTest(
  "overlap policy queue lets one wait and sends it with the end of the other",
  async ({ sql }) => {
    const [first, , third] = await dispatchEachMinute(sql, "queue", 4);
    assert.deepEqual(await t.summary(sql, "job"), [
      "running cron 1",
      "queued cron 1",
      "skipped cron 1",
      "skipped cron 1",
    ]);
    assert.match((await t.run(sql, third!)).skip_reason, /^queue full: /);
    assert.equal((await t.requests(sql)).length, 1);
    await sql.begin(async (transaction) => {
      await t.finish(transaction, first!, "completed", t.after(4));
      assert.equal((await t.summary(transaction, "job"))[1], "dispatched cron 1");
      assert.equal((await t.requests(transaction)).length, 2);
    });
    await t.assertInvariants(sql);
  },
);

t.ledgerTest("a waiting run is sent too when the pulse ends the run before it", async ({ sql }) => {
  await t.register(sql, "job", {
    schedule: "0,1 12 * * *",
    overlap_policy: "queue",
    max_attempts: 1,
  });
  await t.dispatch(sql, "job");
  await t.dispatch(sql, "job", t.after(1));
  await t.pulse(sql, t.after(1.5));
  assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 not_sent", "dispatched cron 1"]);
  await t.assertInvariants(sql);
});

t.ledgerTest("overlap policy allow holds no lock", async ({ sql }) => {
  await dispatchEachMinute(sql, "allow", 3);
  assert.deepEqual(await t.summary(sql, "job"), [
    "running cron 1",
    "dispatched cron 1",
    "dispatched cron 1",
  ]);
  assert.deepEqual([...await sql`select * from scheduler_locks`], []);
});

for (const overlapPolicy of ["skip", "queue"]) {
  t.ledgerTest(
    `an expired lock is taken over with ${overlapPolicy}, and the old run judged`,
    async ({ sql }) => {
      await t.register(sql, "job", { schedule: "0 * * * *", overlap_policy: overlapPolicy });
      const first = await t.dispatch(sql, "job");
      await sql`delete from net.http_request_queue`;
      // A call by hand judges the silent run, as dispatch and pulse do.
      const second: string = await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [
        t.after(60),
      ]);
      assert.equal((await t.run(sql, first!)).verdict, "lost");
      assert.equal((await t.run(sql, second)).status, "dispatched");
      const locks = await sql`select run_id from scheduler_locks`;
      assert.deepEqual(locks.map((lock) => lock.run_id), [second]);
      assert.equal((await t.finish(sql, first!, "completed", t.after(61))).finished, false);
      await t.assertInvariants(sql);
    },
  );
}

t.ledgerTest("jobs of different names do not overlap", async ({ sql }) => {
  await t.register(sql, "one", { target: "job" });
  await t.register(sql, "other", { target: "job" });
  await t.dispatch(sql, "one");
  await t.dispatch(sql, "other");
  assert.deepEqual(await t.summary(sql, "other"), ["dispatched cron 1"]);
});
