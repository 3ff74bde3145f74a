import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const release = "scheduler.release_lock($1, $2, $3, $4)";

t.ledgerTest(
  "release_lock cancels the run, sends what waited and refuses the late receipt",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "queue" });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.dispatch(sql, "job", t.after(1));
    assert.match(
      await t.value(sql, release, ["job", " it hangs ", "ann", t.after(2)]),
      /is cancelled and the lock of job is free/,
    );
    assert.deepEqual(await t.summary(sql, "job"), ["cancelled cron 1", "dispatched cron 1"]);
    const cancelled = await t.run(sql, id);
    assert.equal(cancelled.error_message, "its lock was released by ann: it hangs");
    assert.equal((await t.heartbeat(sql, id, t.after(2))).running, false);
    assert.deepEqual(await t.finish(sql, id, "completed", t.after(3)), {
      finished: false,
      reason: "already over: cancelled (cancelled)",
    });
    assert.deepEqual(await t.run(sql, id), cancelled);
    await t.assertInvariants(sql);
  },
);

t.ledgerTest("release_lock takes back a request that pg_net has not sent", async ({ sql }) => {
  await t.register(sql, "job");
  await t.dispatch(sql, "job");
  await t.value(sql, release, ["job", "why", "ann", t.after(0.1)]);
  assert.deepEqual(await t.requests(sql), []);
});

t.ledgerTest("release_lock frees a lock whose run is over", async ({ sql }) => {
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  await sql`update scheduler_runs set status = 'completed', verdict = 'ok', completed_at = ${t.NOON} where id = ${id}`;
  await t.value(sql, release, ["job", "left behind", "ann", t.after(1)]);
  assert.deepEqual([...await sql`select * from scheduler_locks`], []);
  assert.deepEqual(await t.summary(sql, "job"), ["completed cron 1 ok"]);
});

t.ledgerTest(
  "release_lock without a lock changes nothing; it needs a job, a reason and an author",
  async ({ sql }) => {
    await t.register(sql, "job");
    assert.equal(
      await t.value(sql, release, ["job", "r", "ann", t.NOON]),
      "nobody holds the lock of job",
    );
    await t.dispatch(sql, "job");
    const refused = async (name: string, reason: string | null, author: string | null) =>
      (await refusal(t.value(sql, release, [name, reason, author, t.NOON]))).code;
    assert.equal(await refused("nobody", "r", "ann"), "SD001");
    for (const none of ["", " ", null]) {
      assert.equal(await refused("job", none, "ann"), "22023");
      assert.equal(await refused("job", "r", none), "22023");
    }
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
  },
);

t.ledgerTest(
  "release_lock of a job whose runs take no lock says what is under way and how to end it",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "allow" });
    assert.equal(
      await t.value(sql, release, ["job", "r", "ann", t.NOON]),
      "job takes no lock, as its overlap_policy is 'allow'; no run of it is under way",
    );
    const first = await t.dispatch(sql, "job");
    await t.begin(sql, first!, t.NOON);
    await t.dispatch(sql, "job", t.after(1));
    await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(1)]);
    assert.equal(
      await t.value(sql, release, ["job", "r", "ann", t.after(1)]),
      `job takes no lock, as its overlap_policy is 'allow'; 3 runs of it are under way. ` +
        `To end one: select scheduler.cancel_run('${first}', 'why', 'who')`,
    );
    assert.equal(
      (await t.summary(sql, "job")).filter((row) => row.startsWith("cancelled")).length,
      0,
    );

    // Changed meanwhile: the runs under way began without a lock.
    await t.value(sql, "scheduler.register_job('job', '* * * * *')");
    assert.match(
      await t.value(sql, release, ["job", "r", "ann", t.after(1)]),
      /^nobody holds the lock of job; 3 runs of it are under way\. To end one: /,
    );
  },
);
