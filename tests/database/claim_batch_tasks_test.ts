import assert from "node:assert/strict";
import {
  addBatch,
  addProvider,
  batchJob,
  processor,
  result,
  set,
  tasks,
} from "../support/batch.ts";
import { withDatabase } from "../support/database.ts";
import { refusal } from "../support/refusal.ts";
import { after, NOON } from "../support/scheduler.ts";

const seconds = (count: number) => after(count / 60);

Deno.test("claims at the same time share no task", () =>
  withDatabase(async (db) => {
    await addProvider(db.sql, "one");
    await addProvider(db.sql, "two");
    const id = await addBatch(db.sql, 100, ["one", "two"], NOON);
    const claims = await Promise.all(Array.from({ length: 12 }, async () => {
      const own = processor(db.connect(), id);
      const ids: number[] = [];
      for (;;) {
        const { tasks } = await own.claim(7, NOON);
        if (tasks.length === 0) return ids;
        ids.push(...tasks.map((task: { id: number }) => task.id));
      }
    }));
    const all = claims.flat();
    assert.equal(all.length, 200);
    assert.equal(new Set(all).size, 200);
  }));

Deno.test("a lease ends a minute after its holder was last heard of, and then the task is another's", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 1, ["one"], NOON);
    const [first, second] = [processor(sql, id), processor(sql, id)];
    const { tasks: [task] } = await first.claim(10, NOON);
    const waits = await second.claim(10, seconds(59));
    assert.deepEqual([waits.tasks, waits.next_in_ms], [[], 1_000]);
    assert.deepEqual(await first.heartbeat(seconds(59)), { status: "running", held: 1 });
    assert.equal((await second.claim(10, seconds(118))).tasks.length, 0);
    assert.equal((await second.claim(10, seconds(119))).tasks[0].id, task.id);
    assert.deepEqual(await first.heartbeat(seconds(120)), { status: "running", held: 0 });

    const late = await first.finish([result(task, "answered")], seconds(120));
    assert.deepEqual([late.accepted, late.refused, late.status], [0, 1, "running"]);
    const told = await second.finish([result(task, "answered")], seconds(121));
    assert.deepEqual([told.accepted, told.completed, told.status], [1, 1, "completed"]);
    assert.deepEqual((await tasks(sql, id)).map((row) => [row.status, row.attempts]), [[
      "completed",
      2,
    ]]);
  }));

Deno.test("a claim gives each provider as much as it has room for, and says where there is more", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "slow", { concurrency: 2 });
    await addProvider(sql, "fast", { concurrency: 10 });
    const id = await addBatch(sql, 15, ["slow", "fast"], NOON);
    const own = processor(sql, id);
    const claim = await own.claim(100, NOON, {});
    const count = (name: string) =>
      claim.tasks.filter((task: { answerer: string }) => task.answerer === name).length;
    assert.deepEqual([count("slow"), count("fast"), claim.more], [4, 15, ["slow"]]);
    const next = await own.claim(100, NOON, { slow: 4, fast: 15 });
    assert.deepEqual([next.tasks, next.more], [[], ["slow"]]);
    const room = await own.claim(100, NOON, { slow: 3, fast: 15 });
    assert.equal(room.tasks.length, 1);
  }));

Deno.test("a task that is given back uncalled loses no attempt, and goes to whoever asks next", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 3, ["one"], NOON);
    const [first, second] = [processor(sql, id), processor(sql, id)];
    await first.claim(10, NOON);
    assert.equal(await second.release(NOON), 0, "only its own");
    assert.equal(await first.release(NOON), 3);
    assert.deepEqual((await tasks(sql, id)).map((row) => row.attempts), [0, 0, 0]);
    assert.equal((await second.claim(10, NOON)).tasks.length, 3);
  }));

Deno.test("a task over which processors die is not claimed for ever", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    await set(sql, { max_attempts: 3 });
    const id = await addBatch(sql, 1, ["one"], NOON);
    for (let attempt = 0; attempt < 3; attempt++) {
      const { tasks: [task] } = await processor(sql, id).claim(1, after(2 * attempt));
      assert.equal(task.problem, null);
    }
    const { tasks: [task] } = await processor(sql, id).claim(1, after(6));
    assert.equal(task.problem, "given up after 3 attempts");
    assert.equal(task.prompt, null);
  }));

Deno.test("prompts of a claim are together not much longer than 4 MB", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one", { max_prompt_characters: 2_000_000, concurrency: 100 });
    const id = await addBatch(sql, Array.from({ length: 6 }, (_, i) => `${i}`.repeat(1_500_000)), [
      "one",
    ], NOON);
    const own = processor(sql, id);
    assert.equal((await own.claim(100, NOON, {})).tasks.length, 3);
    assert.equal((await own.claim(100, NOON, {})).tasks.length, 3);
  }));

Deno.test("a batch job whose prompts were deleted under way still ends", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 2, ["one"], NOON);
    const own = processor(sql, id);
    const { tasks: [task] } = await own.claim(1, NOON);
    await own.finish([result(task, "answered")], NOON);
    await sql`delete from prompts using batch_tasks where prompt_id = prompts.id and batch_tasks.status = 'pending'`;
    assert.equal((await own.claim(1, NOON)).status, "partial");
    const row = await batchJob(sql, id);
    assert.deepEqual([row.status, row.reasons], ["partial", { "prompt was deleted": 1 }]);
  }));

Deno.test("a claim waits for nobody who has the batch job locked: he may want the provider that it tries", () =>
  withDatabase(async (db) => {
    const { sql } = db;
    await addProvider(sql, "one");
    const id = await addBatch(sql, 1, ["one"], NOON);
    const own = processor(sql, id);
    await own.claim(1, NOON);
    await sql`update batch_providers set open_until = ${NOON}, failures_in_row = 5`;
    const hasty = db.connect("postgres", { connection: { lock_timeout: 100 } });
    await sql.begin(async (holder) => {
      await holder`select from batch_jobs where id = ${id} for no key update`;
      // Long after the last heartbeat, and with a provider to try but no task for it.
      const told = await processor(hasty, id).claim(1, seconds(30));
      assert.deepEqual([told.status, told.tasks], ["running", []]);
    });
  }));

Deno.test("what cannot be claimed is refused with its reason", () =>
  withDatabase(async ({ sql }) => {
    const id = crypto.randomUUID();
    const unknown = await refusal(processor(sql, id).claim(1, NOON));
    assert.deepEqual([unknown.code, unknown.message], ["22023", `there is no batch job ${id}`]);
    const limit = await refusal(processor(sql, id).claim(0, NOON));
    assert.match(limit.message, /a limit from 1 to 1000 must be given, got 0/);
    await addProvider(sql, "one");
    const batch = await addBatch(sql, 1, ["one"], NOON);
    await sql`update app_settings set value = '"soon"' where key = 'batch_processor.open_seconds'`;
    const setting = await refusal(processor(sql, batch).claim(1, NOON));
    assert.equal(setting.code, "22023");
    assert.match(
      setting.message,
      /whole number from 1 to 99999: batch_processor.open_seconds, got "soon"/,
    );
  }));
