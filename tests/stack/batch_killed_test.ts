// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  addBatch,
  addProvider,
  assertBatchesSound,
  batchJob,
  set,
  statuses,
} from "../support/batch.ts";
import { beat, beatUntilIdle, untilRestAnswers } from "../support/faults.ts";
import { seededRandom } from "../support/random.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const SEED = Number(Deno.env.get("DAYBOOK_STORM_SEED") ?? 20260310);
const PROMPTS = 2_500;

/** Leases, heartbeats and the ledger's patience in seconds instead of minutes. */
async function hurry({ sql }: Stack): Promise<void> {
  await sql`
    update scheduler_settings set value = changed.value from (values
      ('scheduler.heartbeat_seconds', '1'::jsonb), ('scheduler.heartbeat_timeout_seconds', '3'),
      ('scheduler.receipt_timeout_seconds', '3')) as changed (key, value)
    where scheduler_settings.key = changed.key`;
  await sql`update scheduler_jobs set backoff_base_seconds = 1, backoff_cap_seconds = 1, max_attempts = 20
    where name = 'robust-batch-processor'`;
  await set(sql, {
    call_timeout_seconds: 2,
    lease_seconds: 3,
    heartbeat_seconds: 1,
    retry_seconds: 1,
    open_seconds: 1,
    max_attempts: 50,
    // With a fifth of the calls failing, three times in a row is common among thousands.
    max_failures: 20,
  });
}

async function start({ sql }: Stack, id: string, processors: number): Promise<void> {
  await sql`select scheduler.enqueue_runs('robust-batch-processor', ${
    sql.json(Array.from({ length: processors }, () => ({ payload: { batchJobId: id }, key: id })))
  })`;
}

/** Runs pulses until the batch job is over, which the ledger and the processors alone bring about. */
async function untilOver({ sql }: Stack, id: string, limitMs: number): Promise<void> {
  let last = "";
  await waitUntil("the end of the batch job", async () => {
    await beat(sql);
    const row = await batchJob(sql, id);
    last = JSON.stringify([row, await statuses(sql, id)]);
    return row.completed_at !== null;
  }, limitMs).catch((error) => {
    throw new Error(`${error.message}: ${last}`);
  });
}

Deno.test("processors killed at random during 5,000 tasks: each task ends once, none is lost, the batch job ends", () =>
  withStack({
    cron: false,
    models: { seed: SEED, latencyMs: 20, errorRate: 0.2, hangRate: 0.02 },
  }, async (stack) => {
    const { sql, functions } = stack;
    const random = seededRandom(SEED);
    // The reconciler takes no part in this.
    await sql`select scheduler.unregister_job(name) from scheduler_jobs where name like 'batch-reconciler%'`;
    await hurry(stack);
    await addProvider(sql, "one", { concurrency: 60 });
    await addProvider(sql, "two", { concurrency: 60, fallback_provider: "one" });
    const id = await addBatch(sql, PROMPTS, ["one", "two"]);
    await start(stack, id, 6);
    let kills = 0;
    let over = false;
    const killing = (async () => {
      while (!over && kills < 8) {
        await new Promise((resolve) => setTimeout(resolve, random.whole(500, 2_500)));
        await functions.kill();
        await functions.start();
        kills++;
      }
    })();
    await untilOver(stack, id, 180_000).finally(() => over = true);
    await killing;
    await beatUntilIdle(sql);

    const row = await batchJob(sql, id);
    console.log(`${kills} kills; ${row.status}, ${row.tasks_completed} answered`, row.reasons);
    assert.ok(kills >= 3, `it was over after ${kills} kills`);
    assert.equal(row.tasks_completed + row.tasks_failed, 2 * PROMPTS);
    assert.equal(row.status, row.tasks_failed === 0 ? "completed" : "partial");
    await assertBatchesSound(sql);
  }));

Deno.test("the database killed during a batch: processors go on when it is back, and no answer is lost or kept twice", () =>
  withStack({ cron: false, models: { latencyMs: 30 } }, async (stack) => {
    const { sql, postgres, models } = stack;
    await hurry(stack);
    await addProvider(sql, "one", { concurrency: 10 });
    const id = await addBatch(sql, 1_000, ["one"]);
    await start(stack, id, 2);
    for (const answered of [100, 500]) {
      await waitUntil(`${answered} calls`, () => models.calls.length >= answered, 60_000);
      await postgres.kill();
      await postgres.start();
      await untilRestAnswers(stack);
    }
    await untilOver(stack, id, 120_000);
    await beatUntilIdle(sql);
    const row = await batchJob(sql, id);
    assert.deepEqual([row.status, row.tasks_completed], ["completed", 1_000]);
    await assertBatchesSound(sql);
  }));
