import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addBatch, addProvider, batchJob, processor, result } from "../../support/batch.ts";
import { withDatabase } from "../../support/database.ts";
import { after, NOON } from "../../support/scheduler.ts";

type Own = ReturnType<typeof processor>;

async function provider(sql: Sql, name = "one") {
  const [row] = await sql`select * from batch_providers where name = ${name}`;
  return row!;
}

/** Claims that many tasks, and reports that outcome for each. */
async function calls(own: Own, count: number, outcome: string, now: Date, more = {}) {
  const { tasks } = await own.claim(count, now);
  return await own.finish(
    tasks.map((task: { id: number; answerer: string }) => result(task, outcome, more)),
    now,
  );
}

Deno.test("five failures in a row open a provider's breaker, for all batch jobs; other providers are called", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    await addProvider(sql, "two");
    const id = await addBatch(sql, 20, ["one"], NOON);
    await calls(processor(sql, id), 3, "failed", NOON);
    await calls(processor(sql, id), 1, "answered", NOON);
    assert.equal((await provider(sql)).failures_in_row, 0, "an answer ends the row");
    await calls(processor(sql, id), 3, "failed", NOON);
    assert.equal((await provider(sql)).open_until, null);
    const told = await calls(processor(sql, id), 2, "failed", NOON);
    assert.deepEqual(told.open_breakers, ["one"]);
    assert.deepEqual((await provider(sql)).open_until, after(1));

    const other = await addBatch(sql, 2, ["one", "two"], NOON);
    const claim = await processor(sql, other).claim(10, NOON);
    assert.deepEqual(claim.tasks.map((task: { answerer: string }) => task.answerer), [
      "two",
      "two",
    ]);
    assert.equal(claim.next_in_ms, 60_000);
  }));

Deno.test("a half-open breaker lets one call through; its answer closes the breaker", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 20, ["one"], NOON);
    await calls(processor(sql, id), 5, "failed", NOON);
    const probe = processor(sql, id);
    const { tasks, providers } = await probe.claim(10, after(1));
    assert.deepEqual([tasks.length, providers.one.half_open], [1, true]);
    const other = await processor(sql, id).claim(10, after(1));
    assert.deepEqual([other.tasks, other.next_in_ms], [[], 5_000]);
    await probe.finish([result(tasks[0], "failed")], after(1.1));
    assert.equal(
      (await provider(sql)).open_until.getTime(),
      after(2.1).getTime(),
      "for another minute",
    );

    const again = await probe.claim(10, after(2.2));
    assert.equal(again.tasks.length, 1);
    await probe.finish([result(again.tasks[0], "answered")], after(2.3));
    const row = await provider(sql);
    assert.deepEqual([row.open_until, row.failures_in_row], [null, 0]);
    assert.ok((await processor(sql, id).claim(10, after(2.3))).tasks.length > 1);
  }));

/** What becomes of the task that tries a provider, other than a result. */
const untried: Record<string, (own: Own, id: string, sql: Sql) => Promise<unknown>> = {
  "its processor gives the task back": (own) => own.release(after(1)),
  "a person cancels its batch job": (_, id, sql) =>
    sql`select batches.cancel_job(${id}, 'wrong prompts', 'ada', ${after(1)})`,
  "its batch job is deleted": (_, id, sql) => sql`delete from batch_jobs where id = ${id}`,
  "its organization is deleted": (_, id, sql) =>
    sql`delete from organizations where id = (select organization_id from batch_jobs where id = ${id})`,
};

for (const busy of [null, {}]) {
  const counted = busy === null ? "slots do not count" : "slots count";
  for (const [name, happens] of Object.entries(untried)) {
    Deno.test(`another call tries a half-open provider at once when ${name} (${counted})`, () =>
      withDatabase(async ({ sql }) => {
        await addProvider(sql, "one");
        const id = await addBatch(sql, 20, ["one"], NOON);
        const other = processor(sql, await addBatch(sql, 3, ["one"], NOON));
        await calls(processor(sql, id), 5, "failed", NOON);
        const own = processor(sql, id);
        assert.equal((await own.claim(10, after(1), busy)).tasks.length, 1);
        assert.equal((await other.claim(10, after(1), busy)).tasks.length, 0);
        await happens(own, id, sql);
        assert.equal((await other.claim(10, after(1), busy)).tasks.length, 1);
      }));
  }

  Deno.test(`when the processor of the call that tries a provider dies, another call tries it once the lease is over (${counted})`, () =>
    withDatabase(async ({ sql }) => {
      await addProvider(sql, "one");
      const id = await addBatch(sql, 20, ["one"], NOON);
      const other = processor(sql, await addBatch(sql, 3, ["one"], NOON));
      await calls(processor(sql, id), 5, "failed", NOON);
      await processor(sql, id).claim(10, after(1), busy);
      assert.equal((await other.claim(10, after(1.9), busy)).tasks.length, 0);
      assert.equal((await other.claim(10, after(2.1), busy)).tasks.length, 1);
    }));

  Deno.test(`what a call of before comes to does not let a second call try a half-open provider (${counted})`, () =>
    withDatabase(async ({ sql }) => {
      await addProvider(sql, "one");
      const id = await addBatch(sql, 20, ["one"], NOON);
      const old = processor(sql, id);
      const { tasks: [cut, unusable] } = await old.claim(2, after(0.5), busy);
      await calls(processor(sql, id), 5, "failed", NOON);
      const probe = processor(sql, id);
      const { tasks: [trying] } = await probe.claim(10, after(1), busy);
      const third = processor(sql, id);
      for (const [task, outcome] of [[cut, "cut"], [unusable, "unusable"]] as const) {
        await old.finish([result(task, outcome)], after(1));
        assert.deepEqual((await third.claim(10, after(1), busy)).tasks, []);
      }
      await probe.finish([result(trying, "cut")], after(1));
      assert.equal((await third.claim(10, after(1), busy)).tasks.length, 1);
    }));
}

Deno.test("of claims at the same time one tries a half-open provider", () =>
  withDatabase(async (db) => {
    const { sql } = db;
    await addProvider(sql, "one", { concurrency: 5 });
    const own = await Promise.all([1, 2, 3, 4].map(async () => {
      const connection = db.connect("postgres", { max: 1 });
      return { connection, id: await addBatch(connection, 5, ["one"], NOON) };
    }));
    for (let round = 0; round < 30; round++) {
      await sql`update batch_providers set failures_in_row = 5, open_until = ${after(1)}`;
      const busy = round % 2 === 0 ? null : {};
      const processors = own.map(({ connection, id }) => processor(connection, id));
      const claims = await Promise.all(processors.map((each) => each.claim(10, after(1), busy)));
      assert.equal(claims.flatMap(({ tasks }) => tasks).length, 1, `round ${round}`);
      for (const each of processors) await each.release(after(1));
    }
  }));

Deno.test("a task that is not to be called does not try its half-open provider", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one", { max_prompt_characters: 10 });
    const id = await addBatch(sql, 20, ["one"], NOON);
    await sql`update batch_providers set failures_in_row = 5, open_until = ${after(1)}`;
    await sql`update prompts set text = 'longer than ten characters' where id = (
      select prompt_id from batch_tasks where job_id = ${id} order by id limit 1)`;
    const { tasks: [tooLong] } = await processor(sql, id).claim(10, after(1), {});
    assert.match(tooLong.problem, /longer than 10 characters/);
    assert.equal((await processor(sql, id).claim(10, after(1), {})).tasks.length, 1);
  }));

Deno.test("a call tries a half-open provider beside calls of before, within its concurrency", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one", { concurrency: 3 });
    const id = await addBatch(sql, 20, ["one"], NOON);
    const own = processor(sql, id);
    assert.equal((await own.claim(2, NOON, {})).tasks.length, 2);
    await sql`update batch_providers set failures_in_row = 5, open_until = ${after(1)}`;
    const { tasks, providers } = await own.claim(10, after(1), { one: 2 });
    assert.deepEqual([tasks.length, providers.one.concurrency], [1, 3]);
  }));

Deno.test("tasks of a provider that is down go to its fall-back, and to itself once it is back", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "spare");
    await addProvider(sql, "one", { fallback_provider: "spare" });
    const id = await addBatch(sql, 30, ["one"], NOON);
    await calls(processor(sql, id), 5, "failed", NOON);
    const own = processor(sql, id);
    const down = await own.claim(5, NOON);
    assert.deepEqual(
      new Set(down.tasks.map((task: { answerer: string }) => task.answerer)),
      new Set(["spare"]),
    );
    await own.finish(
      down.tasks.map((task: { id: number; answerer: string }) => result(task, "answered")),
      NOON,
    );
    const trying = await own.claim(5, after(1));
    const answerers = trying.tasks.map((task: { answerer: string }) => task.answerer).sort();
    assert.deepEqual(answerers, ["one", "spare", "spare", "spare", "spare"]);
    await own.finish(
      trying.tasks.map((task: { id: number; answerer: string }) => result(task, "answered")),
      after(1),
    );
    const back = await own.claim(5, after(1));
    assert.deepEqual(
      new Set(back.tasks.map((task: { answerer: string }) => task.answerer)),
      new Set(["one"]),
    );
  }));

Deno.test("too many requests open the breaker as long as the provider says; the fall-back is not asked and no attempt is used", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "spare");
    await addProvider(sql, "one", { fallback_provider: "spare" });
    const id = await addBatch(sql, 20, ["one"], NOON);
    await calls(processor(sql, id), 4, "waiting", NOON, { wait_seconds: 90 });
    const row = await provider(sql);
    assert.deepEqual([row.open_until, row.failures_in_row], [after(1.5), 1]);
    const claim = await processor(sql, id).claim(20, after(1));
    assert.deepEqual([claim.tasks, claim.next_in_ms], [[], 30_000]);
    const [attempts] =
      await sql`select max(attempts) as most from batch_tasks where job_id = ${id}`;
    assert.equal(attempts!.most, 0);
    // Told to wait five times in a row it counts as down.
    for (let i = 0; i < 4; i++) {
      await calls(processor(sql, id), 4, "waiting", after(2 * i + 2), { wait_seconds: 90 });
    }
    const later = await processor(sql, id).claim(20, after(9));
    assert.equal(later.tasks[0].answerer, "spare");
  }));

Deno.test("tasks that wait for a provider fail after six hours", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 8, ["one"], NOON);
    const own = processor(sql, id);
    await calls(own, 1, "waiting", after(359), { wait_seconds: 80_000 });
    assert.equal((await own.claim(10, after(359))).next_in_ms, 60_000, "to end the job in time");
    const { tasks } = await own.claim(10, after(360));
    assert.equal(tasks.length, 8);
    assert.deepEqual(
      new Set(tasks.map((task: { problem: string }) => task.problem)),
      new Set(["one: down for 6 hours"]),
    );
    const told = await own.finish(
      tasks.map(({ id, problem }: { id: number; problem: string }) => ({
        id,
        outcome: "unusable",
        reason: problem,
      })),
      after(360),
    );
    assert.equal(told.status, "failed");
    assert.deepEqual((await batchJob(sql, id)).reasons, { "one: down for 6 hours": 8 });
  }));

Deno.test("the tasks of a provider that was disabled go to its fall-back, or fail", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "spare");
    await addProvider(sql, "one", { fallback_provider: "spare", enabled: false });
    await addProvider(sql, "two", { enabled: false });
    const id = await addBatch(sql, 1, ["one", "two"], NOON);
    const { tasks } = await processor(sql, id).claim(10, NOON);
    assert.deepEqual(
      tasks.map((task: { answerer: string; problem: string }) => [task.answerer, task.problem]),
      [["spare", null], [null, "two: disabled"]],
    );
  }));

Deno.test("a call that tried a provider and learned nothing lets another one try", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 20, ["one"], NOON);
    await calls(processor(sql, id), 5, "failed", NOON);
    for (const [outcome, minute] of [["cut", 1], ["unusable", 1.1]] as const) {
      const probe = processor(sql, id);
      const { tasks: [task] } = await probe.claim(10, after(minute));
      assert.equal((await processor(sql, id).claim(10, after(minute))).tasks.length, 0);
      await probe.finish([result(task, outcome)], after(minute));
      const [row] = await sql`select open_until, failures_in_row from batch_providers`;
      assert.deepEqual([row!.open_until, row!.failures_in_row], [after(1), 5]);
    }
    assert.equal((await processor(sql, id).claim(10, after(1.2))).tasks.length, 1);
  }));

Deno.test("a provider that says until when it is down is not called before then; its fall-back is asked at once", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "spare");
    await addProvider(sql, "one", { fallback_provider: "spare" });
    await addProvider(sql, "alone");
    const id = await addBatch(sql, 3, ["one", "alone"], NOON);
    const own = processor(sql, id);
    const { tasks } = await own.claim(100, NOON);
    await own.finish(
      tasks.map((task: { id: number; answerer: string }) =>
        result(task, "waiting", { reason: "HTTP 503", wait_seconds: 3600, provider_is_down: true })
      ),
      NOON,
    );
    const answerers = async (minutes: number) => {
      const claimed = await processor(sql, id).claim(100, after(minutes));
      return claimed.tasks.map((task: { answerer: string }) => task.answerer);
    };
    assert.deepEqual(await answerers(1), ["spare", "spare", "spare"]);
    assert.deepEqual(await answerers(59), ["spare", "spare", "spare"], "alone waits");
    const attempts = await sql`select attempts from batch_tasks where provider = 'alone'`;
    assert.deepEqual(attempts.map((row) => row.attempts), [0, 0, 0]);
    assert.ok((await answerers(60)).includes("alone"));
  }));

Deno.test("tasks that have waited six hours fail at once, not when the provider may be called again", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    await addProvider(sql, "off", { enabled: false });
    await addProvider(sql, "two", { enabled: false, fallback_provider: "off" });
    const id = await addBatch(sql, 30, ["one", "two"], NOON);
    const own = processor(sql, id);
    await calls(own, 1, "waiting", after(1), { wait_seconds: 80_000 });
    for (let open = 60; open > 0; open -= 20) {
      const { tasks, next_in_ms } = await own.claim(20, after(360));
      assert.deepEqual([tasks.length, next_in_ms], [20, open === 20 ? null : 0]);
      await own.finish(
        tasks.map((task: { id: number }) => ({ id: task.id, outcome: "unusable", reason: "down" })),
        after(360),
      );
    }
    assert.equal((await batchJob(sql, id)).status, "failed");
  }));

Deno.test("one call that is told to wait for long does not stop the others once its provider answers again", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 3, ["one"], NOON);
    const own = processor(sql, id);
    const { tasks: [asked, slow] } = await own.claim(2, NOON);
    await own.finish([result(asked, "waiting", { wait_seconds: 80_000 })], NOON);
    const open = await own.claim(2, NOON);
    assert.deepEqual([open.tasks, open.next_in_ms], [[], 6 * 3_600_000], "the breaker is open");
    // A call that was under way meanwhile is answered: the breaker closes.
    await own.finish([result(slow, "answered")], after(0.1));
    const { tasks: [third] } = await own.claim(2, after(0.1));
    assert.ok(third.id > slow.id);
    assert.equal((await own.claim(2, after(0.1))).next_in_ms, 54_000);
    await own.finish([result(third, "answered")], after(0.1));
    const { tasks: [again] } = await own.claim(2, after(1));
    assert.equal(again.id, asked.id);
    assert.equal((await own.finish([result(again, "answered")], after(1))).status, "completed");
  }));

Deno.test("a task that waits is called once more after six hours, if its provider may be called", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 1, ["one"], NOON);
    const own = processor(sql, id);
    await calls(own, 1, "waiting", after(359.5), { wait_seconds: 80_000 });
    await sql`update batch_providers set open_until = null`;
    assert.equal((await own.claim(2, after(359.5))).next_in_ms, 30_000);
    const { tasks: [again] } = await own.claim(2, after(360));
    assert.equal(again.problem, null);
    await own.finish([result(again, "waiting", { wait_seconds: 80_000 })], after(360));
    assert.equal((await batchJob(sql, id)).status, "failed");
  }));

Deno.test("an answer that cannot be used closes the breaker: the provider is not down", () =>
  withDatabase(async ({ sql }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 20, ["one"], NOON);
    await calls(processor(sql, id), 4, "failed", NOON);
    await calls(processor(sql, id), 1, "unusable", NOON, { provider_answered: true });
    assert.equal((await provider(sql)).failures_in_row, 0);
    await calls(processor(sql, id), 5, "failed", NOON);
    await calls(processor(sql, id), 1, "unusable", after(1), { provider_answered: true });
    assert.equal((await provider(sql)).open_until, null);
  }));
