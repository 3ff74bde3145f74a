import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const cancel = "scheduler.cancel_queued($1, $2, $3, $4)";

t.ledgerTest(
  "cancel_queued cancels the job's waiting runs, no run under way and no other job's, and logs one line",
  async ({ sql }) => {
    for (const name of ["job", "other"]) {
      await t.value(
        sql,
        "scheduler.register_job($1, null, overlap_policy => 'allow', parallel_limit => 2)",
        [name],
      );
      await t.value(sql, "scheduler.enqueue_runs($1, '[{}, {}, {}, {}, {}]', null, $2)", [
        name,
        t.NOON,
      ]);
    }
    assert.equal(
      await t.value(sql, cancel, ["job", " wrong list ", " Ada ", t.after(1)]),
      "3 waiting runs of job are cancelled; what is under way goes on",
    );
    assert.deepEqual(await t.summary(sql, "job"), [
      ...Array(2).fill("dispatched enqueued 1"),
      ...Array(3).fill("cancelled enqueued 1"),
    ]);
    assert.equal((await t.runs(sql, "job"))[4]!.error_message, "cancelled by Ada: wrong list");
    assert.deepEqual((await t.runs(sql, "job"))[4]!.completed_at, t.after(1));
    assert.equal(
      (await t.summary(sql, "other")).filter((row) => row.startsWith("queued")).length,
      3,
    );
    const lines = await sql`select severity, message from scheduler_activity where source = 'job'`;
    assert.deepEqual([...lines], [{
      severity: "warning",
      message: "3 waiting runs cancelled by Ada: wrong list",
    }]);
    const [counters] =
      await sql`select cancelled::int from scheduler.run_counters where job_name = 'job'`;
    assert.equal(counters!.cancelled, 3);
    await t.assertInvariants(sql);
  },
);

t.ledgerTest(
  "cancel_queued cancels a retry that waits for its time, also of a paused job",
  async ({ sql }) => {
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.finish(sql, id, "failed", t.NOON);
    await sql`select scheduler.pause('job', 'r', 'a', null, ${t.NOON})`;
    assert.equal(
      await t.value(sql, cancel, ["job", "r", "a", t.after(1)]),
      "1 waiting run of job is cancelled; what is under way goes on",
    );
    assert.equal(await t.value(sql, cancel, ["job", "r", "a", t.after(1)]), "no run of job waits");
    assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 job_error", "cancelled retry 2"]);
  },
);

t.ledgerTest("cancel_queued needs a job, a reason and an author", async ({ sql }) => {
  await t.register(sql, "job");
  const refused = async (...args: unknown[]) => {
    const error = await refusal(t.value(sql, cancel, [...args, t.after(1)]));
    return `${error.code} ${error.message}`;
  };
  assert.equal(await refused("nobody", "r", "a"), "SD001 there is no job named 'nobody'");
  assert.equal(await refused(null, "r", "a"), "SD001 there is no job named NULL");
  for (const missing of ["", "  ", null]) {
    const message = "22023 cannot cancel what waits of job: reason and author must be given";
    assert.equal(await refused("job", missing, "a"), message);
    assert.equal(await refused("job", "r", missing), message);
  }
});
