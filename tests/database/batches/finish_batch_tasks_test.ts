import assert from "node:assert/strict";
import {
  addBatch,
  addProvider,
  assertBatchesSound,
  batchJob,
  processor,
  result,
  set,
  tasks,
} from "../../support/batch.ts";
import { withDatabase } from "../../support/database.ts";
import { refusal } from "../../support/refusal.ts";
import { after, NOON, untilBlocked } from "../../support/scheduler.ts";

for (
  const [outcomes, status, reasons] of [
    [["answered", "answered"], "completed", {}],
    [["answered", "refused"], "partial", { "one: HTTP 500": 1 }],
    [["refused", "refused"], "failed", { "one: HTTP 500": 2 }],
  ] as const
) {
  Deno.test(`a batch job ends with its last task: ${outcomes.join(" and ")} is ${status}`, () =>
    withDatabase(async ({ sql }) => {
      await addProvider(sql, "one");
      const id = await addBatch(sql, 2, ["one"], NOON);
      const own = processor(sql, id);
      const claim = await own.claim(2, NOON);
      const first = await own.finish([result(claim.tasks[0], outcomes[0])], after(1));
      assert.deepEqual([first.status, first.open], ["running", 1]);
      const row = await batchJob(sql, id);
      assert.deepEqual([row.completed_at, row.last_progress_at], [null, after(1)]);
      const last = await own.finish([result(claim.tasks[1], outcomes[1])], after(2));
      assert.deepEqual([last.status, last.open], [status, 0]);
      const over = await batchJob(sql, id);
      assert.deepEqual([over.status, over.reasons, over.completed_at], [status, reasons, after(2)]);
      await assertBatchesSound(sql);
    }));
}

Deno.test("results from several processors at once end the batch job once, with true counters", () =>
  withDatabase(async (db) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 60, ["one"], NOON);
    const told = await Promise.all(Array.from({ length: 6 }, async () => {
      const own = processor(db.connect(), id);
      const claim = await own.claim(10, NOON);
      return await own.finish(
        claim.tasks.map((task: { id: number; answerer: string }) => result(task, "answered")),
        NOON,
      );
    }));
    assert.equal(told.filter((each) => each.status === "completed").length, 1);
    await assertBatchesSound(db.sql);
    assert.equal((await batchJob(db.sql, id)).tasks_completed, 60);
  }));

Deno.test("a result that is sent twice counts once", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 2, ["one"], NOON);
    const own = processor(sql, id);
    const { tasks: [task] } = await own.claim(1, NOON);
    const twice = await own.finish([result(task, "answered"), result(task, "answered")], NOON);
    assert.deepEqual([twice.accepted, twice.refused], [1, 1]);
    const again = await own.finish([result(task, "refused")], NOON);
    assert.deepEqual([again.accepted, again.refused], [0, 1]);
    await assertBatchesSound(sql);
  }));

Deno.test("a task whose calls fail is called three times, then it fails", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    await set(sql, { failures_to_open: 100 });
    const id = await addBatch(sql, 1, ["one"], NOON);
    const own = processor(sql, id);
    for (const [minute, waitSeconds] of [[0, 30], [1, 60]] as const) {
      const { tasks: [task] } = await own.claim(1, after(minute));
      await own.finish([result(task, "failed")], after(minute));
      const [row] = await tasks(sql, id);
      assert.deepEqual([row!.status, row!.run_after], [
        "pending",
        after(minute + waitSeconds / 60),
      ]);
      assert.equal((await own.claim(1, after(minute))).next_in_ms, waitSeconds * 1000);
    }
    const { tasks: [task] } = await own.claim(1, after(2));
    assert.equal((await own.finish([result(task, "failed")], after(2))).status, "failed");
    assert.deepEqual((await batchJob(sql, id)).reasons, { "one: HTTP 500": 1 });
  }));

Deno.test("a task that its provider cannot answer goes to the fall-back, and answered_by says so", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "second");
    await addProvider(sql, "first", { fallback_provider: "second" });
    for (const outcome of ["failed", "unusable"]) {
      await set(sql, { max_failures: 1 });
      const id = await addBatch(sql, 1, ["first"], NOON);
      const own = processor(sql, id);
      const { tasks: [task] } = await own.claim(1, NOON);
      assert.equal(task.answerer, "first");
      assert.equal((await own.finish([result(task, outcome)], NOON)).status, "running");
      const { tasks: [again] } = await own.claim(1, NOON);
      assert.deepEqual([again.id, again.answerer], [task.id, "second"]);
      assert.equal((await own.finish([result(again, "answered")], NOON)).status, "completed");
      const [answer] = await sql`select answered_by from batch_tasks where id = ${task.id}`;
      assert.equal(answer!.answered_by, "second");
      await sql`update batch_providers set failures_in_row = 0, open_until = null`;
    }
  }));

Deno.test("a task that its fall-back cannot answer either fails", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "second");
    await addProvider(sql, "first", { fallback_provider: "second" });
    const id = await addBatch(sql, 1, ["first"], NOON);
    const own = processor(sql, id);
    const { tasks: [task] } = await own.claim(1, NOON);
    await own.finish([result(task, "unusable", { reason: "not configured: A_KEY" })], NOON);
    const { tasks: [again] } = await own.claim(1, NOON);
    const told = await own.finish(
      [result(again, "unusable", { reason: "not configured: B_KEY" })],
      NOON,
    );
    assert.equal(told.status, "failed");
    assert.deepEqual((await batchJob(sql, id)).reasons, { "second: not configured: B_KEY": 1 });
  }));

Deno.test("one result that cannot be read refuses the whole list", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 1, ["one"], NOON);
    const own = processor(sql, id);
    const { tasks: [task] } = await own.claim(1, NOON);
    for (
      const results of [
        {},
        [7],
        [{ id: "x", outcome: "answered" }],
        [{ ...result(task, "answered"), outcome: "great" }],
        [{ ...result(task, "answered"), answer: null }],
      ]
    ) {
      const error = await refusal(own.finish(results, NOON));
      assert.deepEqual([error.code, error.message.slice(0, 21)], [
        "22023",
        "cannot finish tasks: ",
      ]);
    }
    const none = await refusal(sql`select batches.finish_tasks(${id}, gen_random_uuid(), null)`);
    assert.equal(none.code, "22023");
    assert.equal((await own.finish([], NOON)).accepted, 0);
  }));

Deno.test("an impossible number is refused, and its field named", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 2, ["one"], NOON);
    const own = processor(sql, id);
    const { tasks: [first, second] } = await own.claim(2, NOON);
    for (const field of ["prompt_tokens", "completion_tokens", "latency_ms"]) {
      for (const number of ["NaN", "Infinity", 1e12, 1.5, ...field === "latency_ms" ? [] : [-1]]) {
        const results = [result(first, "answered"), {
          ...result(second, "answered"),
          [field]: number,
        }];
        const { code, message } = await refusal(own.finish(results, NOON));
        assert.deepEqual([code, message.slice(0, message.indexOf(", got"))], [
          "22023",
          `cannot finish tasks: results[1].${field} must be a whole number from 0 on`,
        ]);
      }
    }
    const nameless = [{ ...result(first, "answered"), id: null }];
    assert.match((await refusal(own.finish(nameless, NOON))).message, /results\[0\]\.id must be/);
    const both = [result(first, "answered"), result(second, "answered")];
    assert.equal((await own.finish(both, NOON)).status, "completed");
  }));

Deno.test("answers are deleted with their prompt and with their organization", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 3, ["one"], NOON);
    const own = processor(sql, id);
    const claim = await own.claim(3, NOON);
    await own.finish(
      claim.tasks.map((task: { id: number; answerer: string }) => result(task, "answered")),
      NOON,
    );
    const answers = async () =>
      (await sql`select from batch_tasks where answer is not null`).length;
    await sql`delete from prompts where id = (select prompt_id from batch_tasks limit 1)`;
    assert.equal(await answers(), 2);
    await sql`delete from organizations`;
    assert.equal(await answers(), 0);
  }));

Deno.test("a claim writes no task row, and a short answer writes no index", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 10, ["one"], NOON);
    const own = processor(sql, id);
    const claim = await own.claim(10, NOON);
    await own.finish(
      claim.tasks.map((task: { id: number; answerer: string }) => result(task, "answered")),
      NOON,
    );
    await sql`select pg_stat_force_next_flush()`;
    const [written] = await sql`
      select n_tup_upd::int as updates, n_tup_hot_upd::int as hot from pg_stat_user_tables
      where relname = 'batch_tasks'`;
    assert.deepEqual(written, { updates: 10, hot: 10 });
  }));

Deno.test("results lock providers in the order of their names, so that two batch jobs cannot deadlock", () =>
  withDatabase(async (db) => {
    for (const name of ["zebra", "ant"]) await addProvider(db.sql, name);
    const id = await addBatch(db.sql, 1, ["zebra", "ant"], NOON);
    const connection = db.connect();
    const [{ pid }] = await connection`select pg_backend_pid() as pid` as unknown as [
      { pid: number },
    ];
    const own = processor(connection, id);
    const claim = await own.claim(2, NOON);
    const other = await db.sql.reserve();
    await other`begin`;
    await other`select from batch_providers where name = 'ant' for no key update`;
    const told = own.finish(
      claim.tasks.map((task: { id: number; answerer: string }) => result(task, "failed")),
      NOON,
    );
    await untilBlocked(db.sql, pid);
    await other`select from batch_providers where name = 'zebra' for no key update nowait`;
    await other`commit`;
    other.release();
    assert.equal((await told).accepted, 2);
  }));
