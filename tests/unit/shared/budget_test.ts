import type { SupabaseClient } from "@supabase/supabase-js";
import assert from "node:assert/strict";
import type { Database } from "../../../shared/database.types.ts";
import { createBudget } from "../../../shared/job/budget.ts";
import { DeferredError, PermanentError, StopError } from "../../../shared/job/errors.ts";
import { FakePlatform } from "../../support/fake-platform.ts";

const runId = "00000000-0000-4000-8000-000000000001";

/** A budget over a database that answers from a list, and remembers what it was asked. */
function start(answers: unknown[], remainingMs = 140_000) {
  const platform = new FakePlatform();
  const startedAt = platform.now();
  const stop = new AbortController();
  const calls: [name: string, args: unknown][] = [];
  const db = {
    rpc: (name: string, args: unknown) => ({
      abortSignal: () => {
        calls.push([name, args]);
        const answer = answers.shift();
        return Promise.resolve(
          answer instanceof Error
            ? { data: null, error: { message: answer.message, code: answer.name } }
            : { data: answer, error: null },
        );
      },
    }),
  } as unknown as SupabaseClient<Database>;
  const budget = createBudget("api", {
    db,
    runId,
    signal: stop.signal,
    platform,
    remainingMs: () => Math.max(0, startedAt + remainingMs - platform.now()),
  });
  return { budget, platform, stop, calls };
}

const granted = { granted: true, left: 3 };
const from = "2026-03-01T00:00:08+00:00";
const refused = (waitMs: number) => ({ granted: false, from, wait_ms: waitMs });

/** How a promise ended, without waiting for it. */
function watch(promise: Promise<void>): () => unknown {
  let state: unknown = "waits";
  promise.then(() => state = "done", (error) => state = error);
  return () => state;
}

Deno.test("take() asks once for what it is told, and is done when it is granted", async () => {
  const { budget, calls, platform } = start([granted, granted]);
  await budget.take();
  await budget.take(7);
  assert.deepEqual(calls, [
    ["scheduler_take_tokens", { p_run_id: runId, p_budget: "api", p_tokens: 1 }],
    ["scheduler_take_tokens", { p_run_id: runId, p_budget: "api", p_tokens: 7 }],
  ]);
  assert.equal(platform.leftovers, 0);
});

Deno.test("take() waits as long as the database says, and asks again", async () => {
  const { budget, calls, platform } = start([refused(8000), granted]);
  const state = watch(budget.take());
  await platform.advance(7999);
  assert.deepEqual([state(), calls.length], ["waits", 1]);
  await platform.advance(1);
  assert.deepEqual([state(), calls.length, platform.leftovers], ["done", 2, 0]);
});

Deno.test("take() defers at once when the wait is longer than it may be", async () => {
  for (
    const [waitMs, options] of [[20_001, {}], [1, { waitMs: 0 }], [501, { waitMs: 500 }]] as const
  ) {
    const { budget, calls, platform } = start([refused(waitMs)]);
    const error = await budget.take(1, options).then(() => null, (error) => error);
    assert.ok(error instanceof DeferredError);
    assert.deepEqual([error.budget, error.until], ["api", new Date(from)]);
    assert.deepEqual([calls.length, platform.leftovers], [1, 0]);
  }
});

Deno.test("take() waits no longer in all than it may, however often it is refused", async () => {
  const { budget, calls, platform } = start([refused(9000), refused(9000), refused(9000)]);
  const state = watch(budget.take());
  await platform.advance(18_000);
  assert.ok(state() instanceof DeferredError);
  assert.equal(calls.length, 3);
});

Deno.test("take() defers when the wait would leave no time to work", async () => {
  const { budget } = start([refused(6000)], 10_000);
  await assert.rejects(budget.take(), DeferredError);
  const enough = start([refused(5000), granted], 10_000);
  const state = watch(enough.budget.take());
  await enough.platform.advance(5000);
  assert.equal(state(), "done");
});

Deno.test("take() does not ask all the time when others are faster", async () => {
  const { budget, calls, platform } = start([refused(0), refused(0), granted]);
  const state = watch(budget.take());
  await platform.advance(15);
  assert.deepEqual([state(), calls.length], ["waits", 2]);
  await platform.advance(5);
  assert.equal(state(), "done");
});

Deno.test("a wait ends as soon as the signal fires, with its reason, and leaves no timer", async () => {
  const { budget, calls, platform, stop } = start([refused(8000)]);
  const state = watch(budget.take());
  await platform.advance(1000);
  const reason = new StopError("cancelled", "enough");
  stop.abort(reason);
  await platform.advance(0);
  assert.equal(state(), reason);
  assert.deepEqual([calls.length, platform.leftovers], [1, 0]);
});

Deno.test("nothing is asked after the signal has fired", async () => {
  const { budget, calls, stop } = start([]);
  const reason = new StopError("deadline", "over");
  stop.abort(reason);
  for (
    const call of [
      budget.take(),
      budget.reserve(1, new Date()),
      budget.report(new Headers({ "retry-after": "9" })),
    ]
  ) {
    await assert.rejects(call, (error) => error === reason);
  }
  assert.deepEqual(calls, []);
});

Deno.test("what the database refuses is an error that says of which budget, permanent where trying again is no help", async () => {
  const unknown = Object.assign(new Error("there is no budget named 'api'"), { name: "SD012" });
  await assert.rejects(start([unknown]).budget.take(), (error: Error) => {
    assert.ok(error instanceof PermanentError);
    assert.equal(error.message, "Cannot take of the budget api: there is no budget named 'api'");
    return true;
  });
  const refused = "cannot take of the budget api: tokens must be from 1 to 3, got 4";
  await assert.rejects(
    start([Object.assign(new Error(refused), { name: "22023" })]).budget.take(4),
    { message: `C${refused.slice(1)}` },
  );
  const busy = Object.assign(new Error("canceling statement"), { name: "57014" });
  await assert.rejects(start([busy]).budget.take(), (error) => !(error instanceof PermanentError));
});

Deno.test("numbers that are none are refused before the database is asked", async () => {
  const { budget, calls } = start([]);
  for (const tokens of [0, -1, 1.5, NaN, Infinity, -Infinity, 2 ** 60]) {
    const message = new RegExp(`tokens must be a whole number from 1 on, got ${tokens}$`);
    await assert.rejects(budget.take(tokens), { name: "PermanentError", message });
    await assert.rejects(budget.reserve(tokens, new Date()), { name: "PermanentError", message });
  }
  for (const waitMs of [-1, NaN, Infinity]) {
    await assert.rejects(budget.take(1, { waitMs }), { name: "PermanentError", message: /waitMs/ });
  }
  await assert.rejects(budget.reserve(1, new Date(NaN)), { message: /by must be a date/ });
  assert.deepEqual(calls, []);
});

Deno.test("reserve() hands on how many and until when", async () => {
  const { budget, calls } = start([null]);
  await budget.reserve(40, new Date("2026-03-01T06:00:00Z"));
  assert.deepEqual(calls, [["scheduler_reserve_tokens", {
    p_run_id: runId,
    p_budget: "api",
    p_tokens: 40,
    p_by: "2026-03-01T06:00:00.000Z",
  }]]);
});

Deno.test("report() hands on what headers say, and asks nothing when they say nothing", async () => {
  const { budget, calls } = start([5, 5, 5]);
  await budget.report(new Headers({ "content-type": "text/plain" }));
  assert.equal(calls.length, 0);
  await budget.report(new Headers({ "retry-after": "60" }));
  await budget.report(new Headers({ "x-ratelimit-remaining": "4" }));
  await budget.report(new Headers({ ratelimit: '"a";r=1, "b";r=2' }), { policy: "b" });
  assert.deepEqual(calls.map(([, args]) => args), [
    { p_budget: "api", p_left: 0, p_resets_at: "2026-03-01T00:01:00.000Z" },
    { p_budget: "api", p_left: 4 },
    { p_budget: "api", p_left: 2 },
  ]);
});
