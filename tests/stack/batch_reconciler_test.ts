// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { addBatch, addProvider, assertBatchesSound, batchJob, set } from "../support/batch.ts";
import { beatUntilIdle } from "../support/faults.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

Deno.test("batch-reconciler through the whole stack", (test) =>
  withStack({ cron: false }, async ({ sql, apiUrl, keys, models }) => {
    await addProvider(sql, "one");
    const call = async (input: unknown) => {
      const response = await fetch(`${apiUrl}/functions/v1/batch-reconciler`, {
        method: "POST",
        headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true" },
        body: JSON.stringify(input),
      });
      return { status: response.status, body: await response.json() };
    };

    const resume = async (id: string) => {
      const response = await fetch(`${apiUrl}/rest/v1/rpc/resume_stuck_batch_job`, {
        method: "POST",
        headers: { apikey: keys.secretKey, "content-type": "application/json" },
        body: JSON.stringify({ p_job_id: id }),
      });
      await response.body?.cancel();
      return response.status;
    };

    await test.step("a batch job whose run was lost is answered after all", async () => {
      // Not how often, but beside whom.
      await sql`update scheduler_settings set value = '1000' where key = 'daily_batch.max_resumes'`;
      const id = await addBatch(sql, 20, ["one"], new Date(Date.now() - 3_600_000));
      const { body } = await call({});
      assert.equal(body.result.summary, "batch jobs: 1 resumed");
      assert.deepEqual(body.result.jobs, [
        {
          batchJobId: id,
          action: "resumed",
          status: "pending",
          freed: 0,
          failed: 0,
          resumes: 1,
          open: 20,
        },
      ]);
      await beatUntilIdle(sql);
      assert.deepEqual([
        (await batchJob(sql, id)).status,
        (await batchJob(sql, id)).tasks_completed,
      ], [
        "completed",
        20,
      ]);
      await assertBatchesSound(sql);
      const lines = await sql`
        select severity, message from scheduler_activity where source = 'batch-reconciler'`;
      assert.deepEqual([...lines], [{ severity: "warning", message: "batch jobs: 1 resumed" }]);
    });

    await test.step("called repeatedly and in parallel beside slow processors, it costs no task a second call", async () => {
      models.set({ latencyMs: 1_200 });
      const before = models.calls.length;
      await set(sql, { heartbeat_seconds: 1, lease_seconds: 5 });
      await sql`update scheduler_settings set value = '1' where key in
        ('daily_batch.heartbeat_timeout_seconds', 'daily_batch.progress_timeout_seconds')`;
      const id = await addBatch(sql, 20, ["one"]);
      await sql`select scheduler.enqueue_runs('robust-batch-processor', ${
        sql.json([1, 2].map(() => ({ payload: { batchJobId: id }, key: id })))
      })`;
      await waitUntil("the end of the batch job", async () => {
        const answers = await Promise.all([
          call({}).then(({ status }) => status),
          ...Array.from({ length: 4 }, () => resume(id)),
        ]);
        assert.deepEqual(answers, [200, 200, 200, 200, 200]);
        return (await batchJob(sql, id)).completed_at !== null;
      }, 30_000);
      await beatUntilIdle(sql);
      const row = await batchJob(sql, id);
      assert.deepEqual([row.status, row.tasks_completed], ["completed", 20]);
      assert.equal(models.calls.length - before, 20);
      await assertBatchesSound(sql);
    });

    await test.step("without a stuck batch job it says so", async () => {
      assert.equal((await call({})).body.result.summary, "no batch job is stuck");
    });

    await test.step("bad input is refused with the field's name", async () => {
      const { status, body } = await call({ maxJobs: 0 });
      assert.deepEqual([status, body.error.code], [400, "invalid_input"]);
      assert.match(body.error.message, /maxJobs/);
    });
  }));
