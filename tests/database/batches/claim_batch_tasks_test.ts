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
import { after, NOON } from "../../support/scheduler.ts";
import { waitUntil } from "../../support/wait-until.ts";

interface Claimed {
  id: number;
  answerer: string;
}

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

Deno.test("a claim takes as many tasks for each provider as its concurrency, and says which have more", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "slow", { concurrency: 2 });
    await addProvider(sql, "fast", { concurrency: 10 });
    const id = await addBatch(sql, 15, ["slow", "fast"], NOON);
    const own = processor(sql, id);
    const claim = await own.claim(100, NOON, {});
    const count = (name: string) =>
      claim.tasks.filter((task: { answerer: string }) => task.answerer === name).length;
    assert.deepEqual([count("slow"), count("fast"), claim.more], [2, 10, ["fast", "slow"]]);
    const next = await own.claim(100, NOON, { slow: 2, fast: 10 });
    assert.deepEqual([next.tasks, next.more, next.next_in_ms], [[], ["fast", "slow"], null]);
    const ended = claim.tasks.filter(({ answerer }: Claimed) => answerer === "fast").slice(0, 5);
    await own.finish(ended.map((task: Claimed) => result(task, "answered")), NOON);
    const room = await own.claim(100, NOON, { slow: 2, fast: 5 });
    assert.deepEqual([room.tasks.length, room.more, room.next_in_ms], [5, ["slow"], null]);
  }));

Deno.test("a task that is given back uncalled has used no attempt, and goes to the next claim", () =>
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

Deno.test("a task is given up after max_attempts processors died over it", () =>
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

Deno.test("a claim stops after 4 MB of prompts", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one", { max_prompt_characters: 2_000_000, concurrency: 100 });
    const id = await addBatch(sql, Array.from({ length: 6 }, (_, i) => `${i}`.repeat(1_500_000)), [
      "one",
    ], NOON);
    const own = processor(sql, id);
    assert.equal((await own.claim(100, NOON, {})).tasks.length, 3);
    assert.equal((await own.claim(100, NOON, {})).tasks.length, 3);
  }));

Deno.test("a batch job ends though prompts were deleted under way", () =>
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

Deno.test("a claim that waits for the batch job's lock holds no lock of a provider", () =>
  withDatabase(async (db) => {
    const { sql } = db;
    await addProvider(sql, "one", { failures_in_row: 5, open_until: NOON.toISOString() });
    const id = await addBatch(sql, 1, ["one"], NOON);
    const other = processor(db.connect(), id);
    let claim: Promise<{ tasks: unknown[] }> | undefined;
    await sql.begin(async (holder) => {
      await holder`select from batch_jobs where id = ${id} for no key update`;
      claim = other.claim(1, seconds(30));
      await waitUntil("the claim waits", async () => {
        const [row] = await db.sql`select count(*)::int as count from pg_stat_activity
          where wait_event_type = 'Lock' and query like '%batches.claim_tasks%' and pid <> pg_backend_pid()`;
        return row!.count === 1;
      });
      await holder`set local lock_timeout = '100ms'`;
      await holder`update batch_providers set last_error = 'mine'`;
    });
    assert.equal((await claim!).tasks.length, 1, "it tries the provider now");
  }));

/** Rows that a claim reads after most tasks have ended; twice as many when one was given back before. */
const claimReads = (givenBack: boolean, most: number) =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    await addProvider(sql, "two");
    await addBatch(sql, 1_000, ["one", "two"], NOON);
    const id = await addBatch(sql, 1_000, ["one", "two"], NOON);
    await addBatch(sql, 1_000, ["one", "two"], NOON);
    const own = processor(sql, id);
    const finishAll = async (limit: number) => {
      const claim = await own.claim(limit, NOON);
      await own.finish(claim.tasks.map((task: Claimed) => result(task, "answered")), NOON);
    };
    if (givenBack) {
      const { tasks: [task] } = await own.claim(1, NOON);
      await own.finish([result(task, "cut")], NOON);
    }
    // All of the first provider, and most of the second.
    for (const limit of [600, 600, 600]) await finishAll(limit);
    const read = async () => {
      await sql`select pg_stat_force_next_flush()`;
      const [row] = await sql`
        select idx_tup_fetch::int as rows, seq_scan::int as scans from pg_stat_user_tables where relname = 'batch_tasks'`;
      return row!;
    };
    const before = await read();
    assert.equal((await own.claim(10, NOON)).tasks.length, 10);
    const after = await read();
    assert.equal(after.scans, before.scans);
    assert.ok(after.rows - before.rows <= most, `${after.rows - before.rows} rows were read`);
  });

Deno.test("a claim reads the tasks it takes, not those that have ended or belong to other batch jobs", () =>
  claimReads(false, 20));

Deno.test("after a task was given back a claim reads at most twice the tasks it takes", () =>
  claimReads(true, 40));

Deno.test("a task that waits for its retry is found again among tasks that have ended meanwhile", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "spare");
    await addProvider(sql, "one", { fallback_provider: "spare" });
    await set(sql, { failures_to_open: 100 });
    const id = await addBatch(sql, 6, ["one"], NOON);
    const own = processor(sql, id);
    const ids = async (limit: number, at: number) =>
      (await own.claim(limit, seconds(at))).tasks.map((task: Claimed) => task.id) as number[];
    const finish = (list: number[], outcome: string, at: number) =>
      own.finish(list.map((id) => result({ id, answerer: "one" }, outcome)), seconds(at));

    const [first, second] = await ids(2, 0);
    await finish([second!], "failed", 0);
    const [third] = await ids(1, 0);
    await finish([third!], "unusable", 0);
    await finish([first!], "answered", 0);
    await assertBatchesSound(sql);
    // The third asks the fall-back now; the second still rests.
    const rest = await ids(10, 1);
    assert.deepEqual([rest.length, rest.includes(third!), rest.includes(second!)], [
      4,
      true,
      false,
    ]);
    await finish(rest, "answered", 1);
    await assertBatchesSound(sql);
    assert.deepEqual(await ids(10, 29), []);
    assert.deepEqual(await ids(10, 30), [second]);
  }));

Deno.test("a claim finds the tasks of a lease that was deleted by hand", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 3, ["one"], NOON);
    await processor(sql, id).claim(2, NOON);
    await sql`delete from batches.leases`;
    const own = processor(sql, id);
    assert.equal((await own.claim(10, NOON)).tasks.length, 1);
    const blind = await own.claim(10, NOON);
    assert.deepEqual([blind.tasks, blind.status, blind.next_in_ms], [[], "running", 0]);
    assert.equal((await own.claim(10, NOON)).tasks.length, 2);

    await sql`update batch_jobs set claim_from = ${sql.json({ one: 1_000_000 })}`;
    await sql`delete from batches.leases`;
    const nothing = await own.claim(10, NOON);
    assert.deepEqual([nothing.tasks, nothing.status, nothing.next_in_ms], [[], "running", 0]);
    assert.equal((await own.claim(10, NOON)).tasks.length, 3);
  }));

Deno.test("a claim of an unknown batch job gets nothing; a wrong limit is refused", () =>
  withDatabase(async ({ sql }) => {
    const id = crypto.randomUUID();
    const unknown = await processor(sql, id).claim(1, NOON);
    assert.deepEqual([unknown.status, unknown.ended, unknown.tasks], ["unknown", false, []]);
    for (
      const busy of [
        '{"one": "x"}',
        '{"one": 1.5}',
        '{"one": -1}',
        '{"one": 1e10}',
        "[]",
        "5",
        "null",
      ]
    ) {
      const { code, message } = await refusal(
        sql`select batches.claim_tasks(${id}, gen_random_uuid(), 1, 60, ${busy}::text::jsonb)`,
      );
      assert.equal(code, "22023");
      assert.match(
        message,
        /^cannot claim tasks: busy must be \{provider: number of tasks\}, got /,
      );
    }
    const limit = await refusal(processor(sql, id).claim(0, NOON));
    assert.match(limit.message, /a limit from 1 to 2000 must be given, got 0/);
  }));
