import assert from "node:assert/strict";
import { addBatch, addProvider } from "../support/batch.ts";
import { after, ledgerTest, NOON, register, runs } from "../support/scheduler.ts";

ledgerTest(
  "a batch job that goes on has one run that waits, the earliest that anybody asked for",
  async ({ sql }) => {
    await register(sql, "robust-batch-processor", { overlap_policy: "allow" });
    await addProvider(sql, "one");
    const id = await addBatch(sql, 1, ["one"], NOON);
    const other = await addBatch(sql, 1, ["one"], NOON);
    const goOn = async (job: string, at: Date | null) => {
      const [row] = await sql`select continue_batch_job(${job}, ${at}, ${NOON}) as told`;
      return row!.told;
    };
    for (const minutes of [5, 3, 4]) assert.equal(await goOn(id, after(minutes)), true);
    await goOn(other, after(9));
    const waiting = async () =>
      (await runs(sql, "robust-batch-processor")).map((
        run,
      ) => [run.payload.batchJobId, run.status, run.run_after]);
    assert.deepEqual(await waiting(), [[id, "queued", after(3)], [other, "queued", after(9)]]);
    await goOn(id, NOON);
    assert.deepEqual(await waiting(), [[id, "dispatched", null], [other, "queued", after(9)]]);
    await sql`select cancel_batch_job(${id}, 'enough', 'ann')`;
    assert.equal(await goOn(id, NOON), false);
    assert.equal(await goOn(crypto.randomUUID(), NOON), false);
    assert.equal((await waiting()).length, 2);
  },
);
