import assert from "node:assert/strict";
import type { ModelServer } from "../../../local/model-server.ts";
import {
  addBatch,
  addProvider,
  assertBatchesSound,
  batchJob,
  runProcessor,
  set,
  statuses,
  tasks,
} from "../../support/batch.ts";
import { mistralRefusal } from "../../support/chat-completions.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { type Reply, withHttpServer } from "../../support/http-server.ts";
import { withModelServer } from "../../support/model-server.ts";
import { after, NOON } from "../../support/scheduler.ts";
import { waitUntil } from "../../support/wait-until.ts";

type Env = Record<string, string>;

async function withModels(
  faults: Parameters<typeof withModelServer>[0],
  fn: (db: TestDatabase, models: ModelServer, env: Env) => Promise<void>,
): Promise<void> {
  await withModelServer(
    faults,
    (models) =>
      withDatabase((db) =>
        fn(db, models, { LOCAL_MODEL_API_URL: models.url, LOCAL_MODEL_API_KEY: models.key })
      ),
  );
}

/** A provider whose replies the test decides. */
async function withProvider(
  reply: (prompt: string) => Reply,
  fn: (
    db: TestDatabase,
    env: Env,
    requests: { headers: unknown; body: string; url: string }[],
  ) => Promise<void>,
): Promise<void> {
  await withHttpServer(
    (request) => reply(JSON.parse(request.body).messages[0].content),
    (server) =>
      withDatabase((db) =>
        fn(
          db,
          { LOCAL_MODEL_API_URL: `${server.url}/v1/`, LOCAL_MODEL_API_KEY: "sk-test-key-1" },
          server.requests,
        )
      ),
  );
}

const completion = (content: unknown, more: Record<string, unknown> = {}) => ({
  status: 200,
  body: JSON.stringify({
    choices: [{ finish_reason: "stop", message: { content }, ...more }],
    ...more,
  }),
});

Deno.test("a run answers every task of a batch job and ends it", () =>
  withModels({}, async (db, models, env) => {
    await addProvider(db.sql, "one", { prompt_usd_per_million: 2, completion_usd_per_million: 10 });
    await addProvider(db.sql, "two");
    const id = await addBatch(db.sql, 30, ["one", "two"]);
    const result = await runProcessor(db, { batchJobId: id }, { env });
    assert.equal(result.summary, "60 answered: the batch job is completed");
    assert.equal(result.notable, undefined);
    const row = await batchJob(db.sql, id);
    assert.deepEqual([row.status, row.tasks_completed, row.tasks_failed, row.reasons], [
      "completed",
      60,
      0,
      {},
    ]);
    assert.equal(models.calls.length, 60);
    const [answer] = await db.sql`select * from batch_tasks where answered_by = 'one' limit 1`;
    assert.equal(answer!.model, "model-of-one");
    assert.ok(
      answer!.latency_ms >= 0 && answer!.prompt_tokens > 0 && answer!.completion_tokens > 0,
    );
    assert.equal(
      Number(answer!.cost_usd),
      (answer!.prompt_tokens * 2 + answer!.completion_tokens * 10) / 1e6,
    );
    await assertBatchesSound(db.sql);
    assert.equal(
      (await runProcessor(db, { batchJobId: id }, { env })).summary,
      "0 answered: the batch job is completed",
    );
  }));

Deno.test("a call is an OpenAI chat completion: path, key, model, prompt and limit", () =>
  withProvider(() => completion("yes"), async (db, env, requests) => {
    await addProvider(db.sql, "one", { max_completion_tokens: 77 });
    const id = await addBatch(db.sql, ["Is it?"], ["one"]);
    await runProcessor(db, { batchJobId: id }, { env });
    const [request] = requests;
    const headers = request!.headers as Record<string, string>;
    assert.equal(request!.url, "/v1/chat/completions");
    assert.equal(headers.authorization, "Bearer sk-test-key-1");
    const [task] = await tasks(db.sql, id);
    assert.equal(headers["idempotency-key"], `batch-task-${task!.id}`);
    assert.deepEqual(JSON.parse(request!.body), {
      model: "model-of-one",
      messages: [{ role: "user", content: "Is it?" }],
      max_completion_tokens: 77,
    });
    const [answer] = await db.sql`select model, prompt_tokens, cost_usd from batch_tasks`;
    assert.deepEqual({ ...answer }, { model: "model-of-one", prompt_tokens: null, cost_usd: null });
  }));

const badAnswers: Record<string, [Reply, string]> = {
  "no JSON": [{ status: 200, body: "<html>" }, "answer is no JSON"],
  "nothing": [{ status: 200, body: "" }, "answer is no JSON"],
  "another shape": [{ status: 200, body: '{"choices": []}' }, "answer is no chat completion"],
  "a content of another type": [completion(7), "answer is no chat completion"],
  "an empty content": [completion(" \n"), "answer is empty"],
  "no content": [completion(null), "answer is empty"],
  "one that was cut": [
    completion("Once up", { finish_reason: "length" }),
    "answer was cut at the token limit",
  ],
  "one that was held back": [
    completion(null, { finish_reason: "content_filter" }),
    "answer was held back by the content filter",
  ],
  "one that is far too long": [
    { status: 200, body: " ".repeat(4_100_000) },
    "answer longer than 4 MB",
  ],
  "a refused key": [{ status: 401, body: "Incorrect API key provided: sk-test-key-1" }, "HTTP 401"],
  "a bad request": [{ status: 400, body: "{}" }, "HTTP 400"],
  "a redirect, which would take the prompt elsewhere": [
    { status: 307, headers: { location: "/elsewhere" } },
    "HTTP 307",
  ],
};
for (const [what, [reply, reason]] of Object.entries(badAnswers)) {
  Deno.test(`an answer that is ${what} fails its task with a reason, and the rest goes on`, () =>
    withProvider(
      (prompt) => prompt === "bad" ? reply : completion("fine"),
      async (db, env, requests) => {
        await addProvider(db.sql, "one");
        const id = await addBatch(db.sql, ["good", "bad", "better"], ["one"]);
        const result = await runProcessor(db, { batchJobId: id }, { env });
        assert.equal(result.summary, "2 answered, 1 failed: the batch job is partial");
        assert.equal(result.notable, "warning");
        const row = await batchJob(db.sql, id);
        assert.deepEqual([row.status, row.reasons], ["partial", { [`one: ${reason}`]: 1 }]);
        assert.equal(requests.length, 3, "none is asked again");
        const [stored] = await db.sql`
        select string_agg(t::text, ' ') as text from batch_tasks as t`;
        assert.ok(!stored!.text.includes("sk-test-key-1"));
      },
    ));
}

for (
  const [finish_reason, calls] of [
    // Tried three times, half a minute and a minute apart, before the fall-back is asked.
    ["error", 3],
    ["insufficient_system_resource", 3],
    ["network_error", 3],
    ["tired", 3],
    // Another try of the same model would end the same way.
    ["model_length", 1],
    ["length", 1],
    ["safety", 1],
    ["content_filter", 1],
  ] as const
) {
  Deno.test(`an answer that ended with ${finish_reason} is not kept: the fall-back is asked after ${calls} calls of the provider`, () => {
    const asked: string[] = [];
    return withHttpServer(
      ({ body }) => {
        const { model } = JSON.parse(body);
        asked.push(model);
        return model === "model-of-one"
          ? completion("Once up", { finish_reason })
          : completion("whole");
      },
      ({ url }) =>
        withDatabase(async (db) => {
          await addProvider(db.sql, "spare");
          await addProvider(db.sql, "one", { fallback_provider: "spare" });
          const id = await addBatch(db.sql, 1, ["one"], NOON);
          const env = { LOCAL_MODEL_API_URL: url, LOCAL_MODEL_API_KEY: "sk-test-key-1" };
          for (let minute = 0; minute < 4; minute++) {
            await runProcessor(db, { batchJobId: id }, { env, now: () => after(minute) });
          }
          const [task] = await tasks(db.sql, id);
          assert.deepEqual([task!.status, task!.answered_by, task!.answer], [
            "completed",
            "spare",
            "whole",
          ]);
          assert.equal(asked.filter((model) => model === "model-of-one").length, calls);
          const [one] = await db.sql`select * from batch_providers where name = 'one'`;
          assert.equal(one!.failures_in_row, calls === 3 ? 3 : 0);
        }),
    );
  });
}

Deno.test("an answer in parts, without a model's name, from a server that knows only max_tokens is kept", () =>
  withHttpServer(
    ({ body }) =>
      "max_completion_tokens" in JSON.parse(body)
        ? mistralRefusal("max_completion_tokens")
        : completion([{ type: "text", text: "in " }, { type: "text", text: "parts" }], {
          model: "",
        }),
    ({ url, requests }) =>
      withDatabase(async (db) => {
        await addProvider(db.sql, "one", { concurrency: 1 });
        const id = await addBatch(db.sql, 3, ["one"]);
        const env = { LOCAL_MODEL_API_URL: url, LOCAL_MODEL_API_KEY: "sk-test-key-1" };
        await runProcessor(db, { batchJobId: id }, { env });
        const answers = await db.sql`select answer, model from batch_tasks`;
        assert.deepEqual(
          answers.map(({ answer, model }) => [answer, model]),
          Array(3).fill(["in parts", "model-of-one"]),
        );
        assert.equal(requests.length, 4);
      }),
  ));

Deno.test("characters in an answer that Postgres cannot store are replaced", () =>
  withProvider(() => completion("a\u0000b \ud800 c"), async (db, env) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 1, ["one"]);
    await runProcessor(db, { batchJobId: id }, { env });
    const [answer] = await db.sql`select answer from batch_tasks`;
    assert.equal(answer!.answer, "a\ufffdb \ufffd c");
  }));

Deno.test("a prompt of a megabyte fails without a call, and the rest goes on", () =>
  withModels({}, async (db, models, env) => {
    await addProvider(db.sql, "one");
    await addProvider(db.sql, "large", { max_prompt_characters: 2_000_000 });
    const id = await addBatch(db.sql, ["short", "é".repeat(1_000_000)], ["one", "large"]);
    await runProcessor(db, { batchJobId: id }, { env });
    assert.deepEqual((await batchJob(db.sql, id)).reasons, {
      "one: prompt longer than 200000 characters": 1,
    });
    assert.equal(models.calls.length, 3);
  }));

Deno.test("a provider without its URL or key is not called: its fall-back is asked, or the task fails and says why", () =>
  withModels({}, async (db, _models, env) => {
    await addProvider(db.sql, "works");
    await addProvider(db.sql, "no-key", {
      api_key_variable: "ABSENT_KEY",
      fallback_provider: "works",
    });
    await addProvider(db.sql, "no-url", { api_url_variable: "ABSENT_URL" });
    await addProvider(db.sql, "odd-key", { api_key_variable: "ODD_KEY" });
    const id = await addBatch(db.sql, 2, ["works", "no-key", "no-url", "odd-key"]);
    const result = await runProcessor(db, { batchJobId: id }, { env: { ...env, ODD_KEY: "a\nb" } });
    assert.deepEqual(result.notConfigured, ["ABSENT_KEY", "ABSENT_URL", "ODD_KEY"]);
    const row = await batchJob(db.sql, id);
    assert.deepEqual([row.status, row.reasons], ["partial", {
      "no-url: not configured: ABSENT_URL": 2,
      "odd-key: not configured: ODD_KEY": 2,
    }]);
    const answers = await db.sql`
      select answered_by from batch_tasks where provider = 'no-key' and status = 'completed'`;
    assert.deepEqual(answers.map((row) => row.answered_by), ["works", "works"]);
  }));

Deno.test("a failing call is tried three times more; a task whose fault passes is answered", () => {
  let calls = 0;
  return withProvider(
    () => ++calls % 4 === 0 ? completion("at last") : "reset",
    async (db, env) => {
      await addProvider(db.sql, "one", { concurrency: 1 });
      const id = await addBatch(db.sql, 2, ["one"]);
      const result = await runProcessor(db, { batchJobId: id }, { env });
      assert.deepEqual([result.answered, calls], [2, 8]);
    },
  );
});

Deno.test("a provider that never answers does not delay the others", () =>
  withModels({}, async (db, models, env) => {
    for (const name of ["fine", "silent"]) await addProvider(db.sql, name);
    models.set({ hangRate: 1 }, "model-of-silent");
    const id = await addBatch(db.sql, 40, ["fine", "silent"]);
    const enough = new AbortController();
    const running = runProcessor(db, { batchJobId: id }, { env, signal: enough.signal });
    await waitUntil("the answers of the one that works", async () => {
      const [row] = await db
        .sql`select count(*)::int as count from batch_tasks where status = 'completed'`;
      return row!.count === 40;
    });
    enough.abort();
    const result = await running;
    assert.deepEqual([result.answered, result.failed, result.open], [40, 0, 40]);
  }));

Deno.test("a provider that fails or does not answer in time is not called any more after a few calls", () =>
  withModels({}, async (db, models, env) => {
    for (const name of ["fine", "broken", "silent"]) await addProvider(db.sql, name);
    await set(db.sql, { call_timeout_seconds: 1 });
    models.set({ errorRate: 1 }, "model-of-broken");
    models.set({ hangRate: 1 }, "model-of-silent");
    const id = await addBatch(db.sql, 40, ["fine", "broken", "silent"]);
    const result = await runProcessor(db, { batchJobId: id }, { env });
    assert.deepEqual([result.answered, result.failed, result.open], [40, 0, 80]);
    const calls = (model: string) => models.calls.filter((call) => call.model === model).length;
    // Five failures in a row among the calls under way, each with three more tries.
    assert.ok(calls("model-of-broken") <= 4 * 8, `${calls("model-of-broken")}`);
    assert.ok(calls("model-of-silent") <= 8, `${calls("model-of-silent")}`);
    const down = await db.sql`
      select name, last_error from batch_providers where open_until is not null order by name`;
    assert.deepEqual(down.map((row) => [row.name, row.last_error]), [
      ["broken", "HTTP 500"],
      ["silent", "no answer in 1 s"],
    ]);
  }));

Deno.test("a provider that answers 429 for ten minutes is hardly called meanwhile, and then every task is answered", () =>
  withModels({ rateLimitRate: 1 }, async (db, models, env) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 50, ["one"], NOON);
    let now = NOON;
    const clock = {
      now: () => now,
      async wait(ms: number, news: Promise<void>) {
        const early = await Promise.race([
          news.then(() => true),
          new Promise((r) => setTimeout(r, 20)),
        ]);
        if (!early) now = new Date(now.getTime() + ms);
      },
    };
    for (let runs = 0;; runs++) {
      assert.ok(runs < 40, "it comes to an end");
      if (now >= after(10)) models.set({});
      const result = await runProcessor(db, { batchJobId: id }, { env, ...clock });
      if (result.continuesAt === null) break;
      now = new Date(Math.max(Date.parse(result.continuesAt as string), now.getTime()));
    }
    const refused = models.calls.filter((call) => call.status === 429).length;
    // Four calls at first, then one each minute; each with three more tries.
    assert.ok(refused <= 4 * (4 + 10), `${refused} calls`);
    const row = await batchJob(db.sql, id);
    assert.deepEqual([row.status, row.tasks_completed], ["completed", 50]);
    assert.ok(row.completed_at < after(12), `${row.completed_at.toISOString()}`);
    assert.deepEqual(new Set((await tasks(db.sql, id)).map((task) => task.attempts)), new Set([1]));
  }));

Deno.test("Retry-After is obeyed to the second, however long", () =>
  withModels({ rateLimitRate: 1, retryAfterSeconds: 600 }, async (db, models, env) => {
    await addProvider(db.sql, "one", { concurrency: 3 });
    const id = await addBatch(db.sql, 9, ["one"], NOON);
    const first = await runProcessor(db, { batchJobId: id }, { env, now: () => NOON });
    assert.deepEqual([models.calls.length, first.continuesAt], [3, after(10).toISOString()]);
    models.set({});
    const early = await runProcessor(db, { batchJobId: id }, { env, now: () => after(9.9) });
    assert.deepEqual([models.calls.length, early.answered], [3, 0]);
    const late = await runProcessor(db, { batchJobId: id }, { env, now: () => after(10) });
    assert.equal(late.status, "completed");
  }));

Deno.test("when the time is over calls are cut, their tasks given back, and the next run is called", () =>
  withModels({ hangRate: 1 }, async (db, models, env) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 20, ["one"]);
    const deadline = new AbortController();
    const running = runProcessor(db, { batchJobId: id }, { env, signal: deadline.signal });
    await waitUntil("the first calls", () => models.calls.length === 4);
    deadline.abort();
    const result = await running;
    assert.deepEqual([result.answered, result.failed, result.open], [0, 0, 20]);
    assert.deepEqual(await statuses(db.sql, id), { pending: 20 });
    assert.deepEqual(
      (await tasks(db.sql, id)).map((task) => [task.attempts, task.failures]).filter(([tries]) =>
        tries !== 0
      ),
      Array(4).fill([1, 0]),
      "what was called has an attempt less, the rest not",
    );
    const [next] = await db
      .sql`select payload from scheduler_runs where job_name = 'robust-batch-processor'`;
    assert.deepEqual(next!.payload, { batchJobId: id });
  }));

Deno.test("a run begins no call with too little time left for one", () =>
  withModels({}, async (db, models, env) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 3, ["one"], NOON);
    const options = { env, now: () => NOON, remainingMs: () => 14_000 };
    const result = await runProcessor(db, { batchJobId: id }, options);
    assert.equal(models.calls.length, 0);
    assert.equal(result.continuesAt, after(0.25).toISOString(), "when this worker is over");
    assert.match(result.summary as string, /^0 answered, 3 open: the next run goes on at /);
    assert.deepEqual((await tasks(db.sql, id)).map((task) => task.attempts), [0, 0, 0]);
  }));

Deno.test("a run stops after maxTasks, and has the next run called", () =>
  withModels({}, async (db, models, env) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 100, ["one"]);
    const result = await runProcessor(db, { batchJobId: id, maxTasks: 30 }, { env });
    assert.ok(models.calls.length < 60, `${models.calls.length}`);
    assert.equal(result.open, 100 - models.calls.length);
    await runProcessor(db, { batchJobId: id }, { env });
    assert.equal((await batchJob(db.sql, id)).status, "completed");
    assert.equal(models.calls.length, 100);
  }));

Deno.test("a run that begins no further call has the next run called before its own last call ends", () =>
  withProvider(
    (prompt) => prompt === "Question 1?" ? "hang" : completion("fine"),
    async (db, env) => {
      await addProvider(db.sql, "one");
      const id = await addBatch(db.sql, 17, ["one"]);
      const enough = new AbortController();
      const slow = runProcessor(db, { batchJobId: id, maxTasks: 3 }, {
        env,
        signal: enough.signal,
      });
      const called = () => db.sql`select payload from scheduler_runs`;
      await waitUntil("the next run", async () => (await called()).length > 0);
      const next = await runProcessor(db, { batchJobId: id }, { env });
      assert.equal(next.open, 1);
      enough.abort();
      const result = await slow;
      assert.deepEqual([result.failed, (next.answered as number) + (result.answered as number)], [
        0,
        16,
      ]);
      assert.notEqual(result.continuesAt, null);
      assert.equal((await called()).length, 2, "each run has called for one");
      await assertBatchesSound(db.sql);
    },
  ));

Deno.test("a run looks for newly free tasks while a call of its own takes long", () =>
  withModels({}, async (db, models, env) => {
    await addProvider(db.sql, "slow");
    await addProvider(db.sql, "one", { failures_in_row: 5, open_until: after(600).toISOString() });
    models.set({ hangRate: 1 }, "model-of-slow");
    const id = await addBatch(db.sql, ["?"], ["slow", "one"], NOON);
    let now = NOON;
    const enough = new AbortController();
    const wait = async (ms: number) => {
      await new Promise((next) => setTimeout(next, 5));
      now = new Date(now.getTime() + ms);
    };
    const options = { env, signal: enough.signal, now: () => now, wait };
    const running = runProcessor(db, { batchJobId: id }, options);
    await waitUntil("the call", () => models.calls.length === 1);
    await db.sql`update batch_providers set open_until = null, failures_in_row = 0`;
    await waitUntil("the other's answer", async () => {
      const [row] = await db.sql`
        select status = 'completed' as answered from batch_tasks where job_id = ${id} and provider = 'one'`;
      return row!.answered;
    });
    enough.abort();
    assert.equal((await running).answered, 1);
  }));

Deno.test("a processor sends heartbeats and keeps its leases while a call takes long", () =>
  withModels({ latencyMs: 2_500 }, async (db, _models, env) => {
    await addProvider(db.sql, "one");
    await set(db.sql, { heartbeat_seconds: 1, lease_seconds: 2 });
    const id = await addBatch(db.sql, 1, ["one"]);
    const running = runProcessor(db, { batchJobId: id }, { env });
    await waitUntil("a second heartbeat", async () => {
      const row = await batchJob(db.sql, id);
      return row.last_heartbeat?.getTime() >= row.started_at?.getTime() + 1_900;
    });
    assert.equal((await runProcessor(db, { batchJobId: id }, { env })).answered, 0);
    assert.equal((await running).status, "completed");
  }));

Deno.test("a run stops at once, with its calls, when its batch job is cancelled", () =>
  withModels({ hangRate: 1 }, async (db, models, env) => {
    await addProvider(db.sql, "one");
    await set(db.sql, { heartbeat_seconds: 1 });
    const id = await addBatch(db.sql, 20, ["one"]);
    const running = runProcessor(db, { batchJobId: id }, { env });
    await waitUntil("the first calls", () => models.calls.length === 4);
    await db.sql`select batches.cancel_job(${id}, 'not wanted', 'ann')`;
    const result = await running;
    assert.deepEqual([result.status, result.answered, result.continuesAt], ["cancelled", 0, null]);
    assert.equal(models.calls.length, 4);
  }));

Deno.test("a run completes when its batch job is deleted under way, and fails for an unknown one", () =>
  withModels({ hangRate: 1 }, async (db, models, env) => {
    await addProvider(db.sql, "one");
    await set(db.sql, { heartbeat_seconds: 1 });
    const id = await addBatch(db.sql, 20, ["one"]);
    const running = runProcessor(db, { batchJobId: id }, { env });
    await waitUntil("the first calls", () => models.calls.length === 4);
    await db.sql`delete from organizations`;
    const result = await running;
    assert.equal(result.summary, "0 answered: the batch job was deleted");
    assert.deepEqual([result.continuesAt, result.notable], [null, undefined]);
    await assert.rejects(runProcessor(db, { batchJobId: id }, { env }), {
      name: "PermanentError",
      message: `Cannot claim tasks: there is no batch job ${id}`,
    });
  }));

Deno.test("only the run that ended the batch job says so, among several", () =>
  withModels({ latencyMs: 20 }, async (db, _models, env) => {
    await addProvider(db.sql, "one", { max_prompt_characters: 10 });
    const id = await addBatch(
      db.sql,
      [..."x".repeat(39)].map((_, i) => `why ${i}`).concat("y".repeat(11)),
      ["one"],
    );
    const results = await Promise.all(
      Array.from({ length: 4 }, () => runProcessor(db, { batchJobId: id }, { env })),
    );
    assert.equal(results.filter((each) => each.notable === "warning").length, 1);
    assert.equal((await runProcessor(db, { batchJobId: id }, { env })).notable, undefined);
  }));

Deno.test("at least three heartbeats come in a lease, with any settings", () =>
  withDatabase(async ({ sql }) => {
    await set(sql, { heartbeat_seconds: 60, lease_seconds: 12 });
    const beat = async () =>
      (await sql`select batches.settings() -> 'heartbeat_seconds' as beat`)[0]!.beat;
    assert.equal(await beat(), 4);
    await set(sql, { heartbeat_seconds: 3 });
    assert.equal(await beat(), 3);
  }));

Deno.test("tasks of a claim whose answer was lost are the next run's at once", () =>
  withModels({}, async (db, _models, env) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 6, ["one"]);
    let lost = 0;
    const now = () => NOON;
    const isLost = (name: string) => name === "claim_batch_tasks" && ++lost === 1;
    const first = await runProcessor(db, { batchJobId: id }, { env, now, isLost });
    assert.deepEqual([first.answered, first.open, first.continuesAt], [0, 6, NOON.toISOString()]);
    const second = await runProcessor(db, { batchJobId: id }, { env, now });
    assert.deepEqual([second.answered, second.status], [6, "completed"]);
    assert.deepEqual((await tasks(db.sql, id)).map((task) => task.attempts), [1, 1, 1, 1, 1, 1]);
  }));

Deno.test("results whose receipt was lost are sent again, and count once", () =>
  withModels({}, async (db, _models, env) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 6, ["one"]);
    const seen = new Set<string>();
    const isLost = (name: string) =>
      name.startsWith("finish") && !seen.has(name) && !!seen.add(name);
    const result = await runProcessor(db, { batchJobId: id }, { env, isLost });
    assert.equal(result.status, "completed");
    assert.ok(result.lost as number > 0);
    await assertBatchesSound(db.sql);
  }));

Deno.test("while calls are under way the database is not asked for more tasks", () =>
  withModels({ latencyMs: 300 }, async (db, _models, env) => {
    await addProvider(db.sql, "one");
    const id = await addBatch(db.sql, 4, ["one"]);
    let claims = 0;
    const isLost = (name: string) => {
      if (name === "claim_batch_tasks") claims++;
      return false;
    };
    const result = await runProcessor(db, { batchJobId: id }, { env, isLost });
    assert.deepEqual([result.answered, claims], [4, 1]);
  }));
