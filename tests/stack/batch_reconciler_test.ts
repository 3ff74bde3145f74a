import assert from "node:assert/strict";
import { addBatch, addProvider, assertBatchesSound, batchJob } from "../support/batch.ts";
import { settle } from "../support/faults.ts";
import { withStack } from "../support/stack.ts";

Deno.test("batch-reconciler through the whole stack", (test) =>
  withStack({ cron: false }, async ({ sql, apiUrl, keys }) => {
    await addProvider(sql, "one");
    const call = async (input: unknown) => {
      const response = await fetch(`${apiUrl}/functions/v1/batch-reconciler`, {
        method: "POST",
        headers: { "x-cron-secret": keys.cronSecret },
        body: JSON.stringify(input),
      });
      return { status: response.status, body: await response.json() };
    };

    await test.step("a batch job whose run was lost is answered after all", async () => {
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
      await settle(sql);
      assert.deepEqual([
        (await batchJob(sql, id)).status,
        (await batchJob(sql, id)).tasks_completed,
      ], [
        "completed",
        20,
      ]);
      await assertBatchesSound(sql);
      const lines = await sql`
        select severity, message from eliza_activity_log where source = 'batch-reconciler'`;
      assert.deepEqual([...lines], [{ severity: "warning", message: "batch jobs: 1 resumed" }]);
    });

    await test.step("with nothing stuck it says so", async () => {
      assert.equal((await call({})).body.result.summary, "no batch job is stuck");
    });

    await test.step("bad input is refused with the field's name", async () => {
      const { status, body } = await call({ maxJobs: 0 });
      assert.deepEqual([status, body.error.code], [400, "invalid_input"]);
      assert.match(body.error.message, /maxJobs/);
    });
  }));
