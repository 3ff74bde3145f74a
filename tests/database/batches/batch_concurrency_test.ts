import assert from "node:assert/strict";
import type { Sql } from "postgres";
import {
  addBatch,
  addProvider,
  assertBatchesSound,
  processor,
  result,
  runProcessor,
  set,
} from "../../support/batch.ts";
import { withDatabase } from "../../support/database.ts";
import { withModelServer } from "../../support/model-server.ts";
import { after, NOON } from "../../support/scheduler.ts";

interface Claim {
  tasks: { id: number; answerer: string }[];
  more: string[];
  next_in_ms: number | null;
}
const seconds = (count: number) => after(count / 60);

/** A processor that remembers what it holds of the provider "one", as the edge function does. */
function worker(sql: Sql, jobId: string) {
  const own = processor(sql, jobId);
  let held: Claim["tasks"] = [];
  return {
    ...own,
    held: () => held.length,
    async take(now: Date): Promise<Claim> {
      const claim: Claim = await own.claim(100, now, { one: held.length });
      held.push(...claim.tasks);
      return claim;
    },
    async end(count: number, outcome: string, now: Date) {
      const ended = held.slice(0, count);
      held = held.slice(count);
      return await own.finish(ended.map((task) => result(task, outcome)), now);
    },
  };
}

Deno.test("a provider's concurrency holds for all batch jobs together, also when they claim at once", () =>
  withDatabase(async (db) => {
    await addProvider(db.sql, "one", { concurrency: 7 });
    await addProvider(db.sql, "two", { concurrency: 2 });
    const claims = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const id = await addBatch(db.sql, 10, i % 2 === 0 ? ["one", "two"] : ["one"], NOON);
        return { id, sql: db.connect() };
      }),
    ).then((jobs) =>
      Promise.all(
        jobs.map(({ id, sql }): Promise<Claim> => processor(sql, id).claim(100, NOON, {})),
      )
    );
    const answerers = claims.flatMap(({ tasks }) => tasks.map((task) => task.answerer));
    assert.equal(answerers.filter((name) => name === "one").length, 7);
    assert.equal(answerers.filter((name) => name === "two").length, 2);
    for (const { tasks, more, next_in_ms } of claims) {
      // A processor without a task looks again in a second; one with tasks also when one of its calls has ended.
      if (tasks.length === 0) assert.deepEqual([more, next_in_ms], [[], 1_000]);
    }
    await assertBatchesSound(db.sql);
  }));

Deno.test("a slot is free again when its call has ended, its task was given back, or its run is gone", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one", { concurrency: 2 });
    await set(sql, { failures_to_open: 100 });
    const make = async () => worker(sql, await addBatch(sql, 9, ["one"], NOON));
    const [first, second] = [await make(), await make()];
    const given = async (now: Date) => (await second.take(now)).tasks.length;
    await first.take(NOON);
    assert.equal(first.held(), 2);
    assert.equal(await given(NOON), 0);
    for (const outcome of ["answered", "failed", "cut", "refused"]) {
      await first.end(1, outcome, NOON);
      assert.equal(await given(NOON), 1, outcome);
      await second.end(1, "answered", NOON);
      await first.take(NOON);
    }
    await first.release(NOON);
    assert.equal(await given(seconds(3)), 2, "the first has not asked for three seconds");
    // The second dies with what it holds; its lease lasts a minute.
    const [third, fourth] = [await make(), await make()];
    assert.equal((await third.take(seconds(62))).tasks.length, 0);
    assert.equal((await third.take(seconds(63))).tasks.length, 2);
    await sql`select batches.cancel_job(job_id, 'why', 'who', ${
      seconds(63)
    }) from batches.leases where token = ${third.token}`;
    assert.equal((await fourth.take(seconds(64))).tasks.length, 2);
    await sql`delete from batch_jobs`;
    assert.equal((await sql`select from batches.calls`).length, 0);
    assert.equal((await sql`select from batches.waits`).length, 0);
  }));

Deno.test("a processor that holds all slots claims when a call has ended; one that shares them looks again each second", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one", { concurrency: 4 });
    const first = worker(sql, await addBatch(sql, 9, ["one"], NOON));
    const alone = await first.take(NOON);
    assert.deepEqual([alone.tasks.length, alone.more, alone.next_in_ms], [4, ["one"], null]);
    const second = worker(sql, await addBatch(sql, 9, ["one"], NOON));
    assert.deepEqual((await second.take(NOON)).next_in_ms, 1_000);
    await first.end(2, "answered", NOON);
    const shared = await second.take(NOON);
    assert.deepEqual([shared.tasks.length, shared.more, shared.next_in_ms], [2, ["one"], 1_000]);
    // With nothing left to claim it does not wait.
    const few = worker(sql, await addBatch(sql, 1, ["one"], NOON));
    await first.end(1, "answered", NOON);
    const last = await few.take(NOON);
    assert.deepEqual([last.tasks.length, last.more, last.next_in_ms], [1, [], null]);
  }));

Deno.test("batch jobs that wait for a provider get equal shares of it, as calls end", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one", { concurrency: 6 });
    const make = async () => worker(sql, await addBatch(sql, 100, ["one"], NOON));
    const [large, ...small] = [await make(), await make(), await make()];
    const all = [large!, ...small];
    assert.equal((await large!.take(NOON)).tasks.length, 6);
    // A batch job whose processor asked ten seconds ago waits no more.
    await small[0]!.take(NOON);
    await large!.end(1, "answered", seconds(10));
    assert.equal((await large!.take(seconds(10))).tasks.length, 1);

    const held = () => all.map((each) => each.held());
    for (let second = 11; second < 20; second++) {
      // The large one is always the first to ask again.
      for (const each of all) {
        if (each.held() > 0) await each.end(1, "answered", seconds(second));
        await each.take(seconds(second));
      }
      assert.ok(held().reduce((sum, count) => sum + count) <= 6);
    }
    assert.deepEqual(held(), [2, 2, 2]);
    // Slots that one batch job does not need go to the others.
    await small[1]!.release(seconds(20));
    for (let second = 24; second < 30; second++) {
      for (const each of [large!, small[0]!]) {
        await each.end(1, "answered", seconds(second));
        await each.take(seconds(second));
      }
    }
    assert.equal(large!.held() + small[0]!.held(), 6);
    await assertBatchesSound(sql);
  }));

Deno.test("a claim without a count of calls takes no slots", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one", { concurrency: 1 });
    const id = await addBatch(sql, 9, ["one"], NOON);
    assert.equal((await processor(sql, id).claim(5, NOON)).tasks.length, 5);
    assert.equal((await processor(sql, id).claim(5, NOON, {})).tasks.length, 1);
  }));

Deno.test("several runs together never have more calls of a provider under way than its concurrency", () =>
  withModelServer({ latencyMs: 30 }, (models) =>
    withDatabase(async (db) => {
      const env = { LOCAL_MODEL_API_URL: models.url, LOCAL_MODEL_API_KEY: models.key };
      await addProvider(db.sql, "one", { concurrency: 3 });
      const jobs = await Promise.all(
        Array.from({ length: 4 }, () => addBatch(db.sql, 15, ["one"])),
      );
      const results = await Promise.all(
        jobs.map((batchJobId) => runProcessor(db, { batchJobId }, { env })),
      );
      assert.deepEqual(results.map(({ status }) => status), jobs.map(() => "completed"));
      assert.equal(models.mostAtOnce(), 3);
      await assertBatchesSound(db.sql);
    })));
