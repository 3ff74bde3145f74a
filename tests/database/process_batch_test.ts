import assert from "node:assert/strict";
import {
  addBatch,
  addProvider,
  assertBatchesSound,
  batchJob,
  runProcessor,
} from "../support/batch.ts";
import { type TestDatabase, withDatabase } from "../support/database.ts";
import { withModelServer } from "../support/model-server.ts";

Deno.test("a run answers every task of a batch job and ends it", () =>
  withModels({}, async (db, models, env) => {
    await addProvider(db.sql, "one", { prompt_usd_per_million: 2, completion_usd_per_million: 10 });
    await addProvider(db.sql, "two");
    const id = await addBatch(db.sql, 30, ["one", "two"]);
    const result = await runProcessor(db, { batchJobId: id }, { env });
    assert.equal(result.summary, "60 answered: the batch job is completed");
    const row = await batchJob(db.sql, id);
    assert.deepEqual([row.status, row.tasks_completed, row.tasks_failed, row.reasons], [
      "completed",
      60,
      0,
      {},
    ]);
    assert.equal(models.calls.length, 60);
    const [answer] = await db.sql`
      select answers.*, prompt_usd_per_million as prompt_price from prompt_answers as answers join batch_providers on name = provider where provider = 'one' limit 1`;
    assert.equal(answer!.model, "model-of-one");
    assert.ok(
      answer!.latency_ms >= 0 && answer!.prompt_tokens > 0 && answer!.completion_tokens > 0,
    );
    assert.equal(
      Number(answer!.cost_usd),
      (answer!.prompt_tokens * 2 + answer!.completion_tokens * 10) / 1e6,
    );
    await assertBatchesSound(db.sql);
  }));

async function withModels(
  faults: Parameters<typeof withModelServer>[0],
  fn: (
    db: TestDatabase,
    models: Parameters<Parameters<typeof withModelServer>[1]>[0],
    env: Record<string, string>,
  ) => Promise<void>,
): Promise<void> {
  await withModelServer(
    faults,
    (models) =>
      withDatabase((db) =>
        fn(db, models, { LOCAL_MODEL_API_URL: models.url, LOCAL_MODEL_API_KEY: models.key })
      ),
  );
}
