// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { addBatch, addProvider, assertBatchesSound, batchJob, set } from "../support/batch.ts";
import { beatUntilIdle, readLog } from "../support/faults.ts";
import { garbage, startGarbageProvider } from "../support/garbage-provider.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

async function call({ apiUrl, keys }: Stack, input: unknown) {
  const response = await fetch(`${apiUrl}/functions/v1/robust-batch-processor`, {
    method: "POST",
    headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true" },
    body: JSON.stringify(input),
  });
  return { status: response.status, body: await response.json() };
}

const untilOver = ({ sql }: Stack, id: string, limitMs = 20_000) =>
  waitUntil(`the end of batch job ${id}`, async () => {
    const row = await batchJob(sql, id);
    return row.completed_at !== null && row;
  }, limitMs);

Deno.test("robust-batch-processor through the whole stack", async (test) => {
  const garbageProvider = startGarbageProvider();
  const env = { OTHER_API_KEY: "sk-other-0123456789", GARBAGE_API_URL: garbageProvider.url };
  await withStack({ cron: false, env }, async (stack) => {
    const { sql, models } = stack;
    await addProvider(sql, "one");
    await addProvider(sql, "two");
    const beatUntilAllIdle = () =>
      waitUntil("no run at work", async () => {
        const [row] = await sql`
          select from scheduler_runs where status in ('dispatched', 'running') limit 1`;
        return !row;
      });

    await test.step("several processors answer a batch job together, each task once", async () => {
      const id = await addBatch(sql, 150, ["one", "two"]);
      await sql`
        select scheduler.enqueue_runs('robust-batch-processor', ${
        sql.json(Array.from({ length: 4 }, () => ({ payload: { batchJobId: id }, key: id })))
      })`;
      const row = await untilOver(stack, id);
      assert.deepEqual([row.status, row.tasks_completed, row.reasons], ["completed", 300, {}]);
      assert.equal(models.calls.length, 300, "no task was asked twice");
      await beatUntilIdle(sql);
      await assertBatchesSound(sql);
      const runs = await sql`
        select status, result from scheduler_runs where job_name = 'robust-batch-processor'`;
      assert.deepEqual(runs.map((run) => run.status), Array(runs.length).fill("completed"));
      // How many of them find a free slot is chance: one run may take all slots of a provider.
      assert.ok(runs.some((run) => run.result.answered > 0));
    });

    await test.step("a provider's key is in no log, table or answer", async () => {
      await addProvider(sql, "echo", { api_key_variable: "OTHER_API_KEY" });
      const id = await addBatch(sql, 2, ["echo"]);
      const { body } = await call(stack, { batchJobId: id });
      assert.equal(body.result.status, "failed");
      assert.deepEqual((await batchJob(sql, id)).reasons, { "echo: HTTP 401": 2 });
      assert.ok(!(await readLog(stack)).includes("sk-other-0123456789"));
    });

    await test.step("a provider that answers 429 is not stormed, and later every task is answered", async () => {
      await set(sql, { open_seconds: 1 });
      models.calls.length = 0;
      models.set({ rateLimitRate: 1, retryAfterSeconds: 11 }, "model-of-two");
      const id = await addBatch(sql, 30, ["one", "two"]);
      await sql`select scheduler.enqueue_runs('robust-batch-processor', ${
        sql.json([1, 2].map(() => ({ payload: { batchJobId: id }, key: id })))
      })`;
      await waitUntil("the answers of the other", async () => {
        const row = await batchJob(sql, id);
        return row.tasks_completed === 30 && row;
      });
      await beatUntilAllIdle();
      const refused = models.calls.filter((call) => call.status === 429);
      assert.ok(
        refused.length <= 8,
        `${refused.length} calls of two processors with four slots each`,
      );
      const [next] = await sql`
        select extract(epoch from run_after - now()) as seconds from scheduler_runs
        where job_name = 'robust-batch-processor' and status = 'queued'`;
      assert.ok(
        next!.seconds > 5 && next!.seconds <= 12,
        `the next run comes in ${next!.seconds} s`,
      );
      models.set({}, "model-of-two");
      await sql`update batch_providers set open_until = now() where name = 'two'`;
      await sql`update batch_tasks set run_after = null where job_id = ${id}`;
      await beatUntilIdle(sql);
      assert.equal((await batchJob(sql, id)).status, "completed");
      await assertBatchesSound(sql);
    });

    await test.step("each kind of garbage fails its task with provider and cause, and the rest goes on", async () => {
      for (const name of Object.keys(garbage)) {
        await addProvider(sql, name, { model: name, api_url_variable: "GARBAGE_API_URL" });
      }
      // Only what hangs may be cut by the time limit: the rest ends by itself, also on a slow machine.
      for (const [hangs, limitSeconds] of [[true, 2], [false, 60]] as const) {
        const asked = Object.entries(garbage).filter(([, one]) => (one.hangs ?? false) === hangs);
        await set(sql, { call_timeout_seconds: limitSeconds, max_failures: 1 });
        const id = await addBatch(sql, 1, ["one", ...asked.map(([name]) => name)]);
        await sql`select continue_batch_job(${id})`;
        const row = await untilOver(stack, id, 60_000);
        const bad = asked.filter(([, { reason }]) => reason !== null);
        assert.deepEqual(
          row.reasons,
          Object.fromEntries(bad.map(([name, { reason }]) => [`${name}: ${reason}`, 1])),
        );
        assert.deepEqual(
          [row.status, row.tasks_completed, row.tasks_failed],
          ["partial", 1 + asked.length - bad.length, bad.length],
        );
        await beatUntilIdle(sql);
        const runs = await sql`
          select error_message from scheduler_runs
          where payload ->> 'batchJobId' = ${id} and status <> 'completed'`;
        assert.deepEqual([...runs], []);
      }
      const [answer] = await sql`select answer from batch_tasks where answered_by = 'nul-escaped'`;
      assert.equal(answer!.answer, "fi\ufffdne");
      await assertBatchesSound(sql);
      await set(sql, { call_timeout_seconds: 120, max_failures: 3 });
    });

    await test.step("a prompt of a megabyte is sent to providers that take it, else its task fails", async () => {
      await addProvider(sql, "patient", { max_prompt_characters: 2_000_000 });
      const id = await addBatch(sql, ["short", "é".repeat(1_000_000)], ["one", "patient"]);
      await sql`select continue_batch_job(${id})`;
      const row = await untilOver(stack, id);
      assert.deepEqual(row.reasons, { "one: prompt longer than 200000 characters": 1 });
      assert.equal(row.tasks_completed, 3);
      await beatUntilIdle(sql);
    });

    await test.step("bad input is refused with the field's name", async () => {
      for (
        const [input, message] of [
          [{ batchJobId: "7" }, /batchJobId: Invalid UUID/],
          [{ batchJobID: crypto.randomUUID() }, /Unrecognized key: "batchJobID"/],
          [{ maxTasks: "many" }, /maxTasks: /],
          [{ maxTasks: 0 }, /maxTasks: /],
        ] as const
      ) {
        const { status, body } = await call(stack, input);
        assert.equal(status, 400);
        assert.match(body.error.message, message);
      }
      const unknown = crypto.randomUUID();
      const { status, body } = await call(stack, { batchJobId: unknown });
      assert.equal(status, 500);
      assert.equal(
        body.error.message,
        `Cannot claim tasks: there is no batch job ${unknown}`,
      );
    });

    await test.step("without a batch job it takes the oldest open one", async () => {
      const id = await addBatch(sql, 1, ["one"]);
      const { body } = await call(stack, {});
      assert.deepEqual([body.result.batchJobId, body.result.status], [id, "completed"]);
      assert.equal((await call(stack, {})).body.result.summary, "no batch job is open");
    });
  }).finally(() => garbageProvider.stop());
});
