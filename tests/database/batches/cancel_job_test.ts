import assert from "node:assert/strict";
import {
  addBatch,
  addProvider,
  assertBatchesSound,
  batchJob,
  processor,
  result,
  statuses,
} from "../../support/batch.ts";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import { after, NOON } from "../../support/scheduler.ts";

Deno.test("a cancelled batch job ends at once: answers stay, results of calls under way are refused", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 5, ["one"], NOON);
    const own = processor(sql, id);
    const { tasks } = await own.claim(3, NOON);
    await own.finish([result(tasks[0], "answered")], NOON);
    const [row] = await sql`select batches.cancel_job(${id}, 'asked twice', 'ann', ${
      after(1)
    }) as told`;
    assert.deepEqual(row!.told, {
      cancelled: true,
      status: "cancelled",
      tasks_cancelled: 4,
      tasks_completed: 1,
      tasks_failed: 0,
    });
    assert.deepEqual(await statuses(sql, id), { cancelled: 4, completed: 1 });
    const late = await own.finish([result(tasks[1], "answered")], after(2));
    assert.deepEqual([late.accepted, late.status], [0, "cancelled"]);
    assert.deepEqual(await own.heartbeat(after(2)), { status: "cancelled", held: 0 });
    assert.deepEqual((await own.claim(3, after(2))).tasks, []);
    const over = await batchJob(sql, id);
    assert.deepEqual([over.status, over.reasons, over.completed_at], [
      "cancelled",
      { "cancelled by ann: asked twice": 4 },
      after(1),
    ]);
    const [line] = await sql`select severity, message from scheduler_activity`;
    assert.equal(line!.severity, "warning");
    assert.match(line!.message, /was cancelled by ann: asked twice$/);
    await assertBatchesSound(sql);
    const [again] = await sql`select batches.cancel_job(${id}, 'again', 'ann') as told`;
    assert.deepEqual(again!.told, { cancelled: false, status: "cancelled" });
  }));

Deno.test("cancelling needs a reason, an author and an existing batch job", () =>
  withDatabase(async ({ sql }) => {
    const id = crypto.randomUUID();
    assert.match(
      (await refusal(sql`select batches.cancel_job(${id}, ' ', 'ann')`)).message,
      /reason and author must be given/,
    );
    const unknown = await refusal(sql`select batches.cancel_job(${id}, 'why', 'ann')`);
    assert.deepEqual([unknown.code, unknown.message], ["SD007", `there is no batch job ${id}`]);
  }));
