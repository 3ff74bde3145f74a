import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import type {
  Actions,
  Claim,
  ClaimedAction,
  Result,
} from "../../../supabase/functions/execute-scheduled-actions/actions.ts";
import {
  execute,
  type ExecuteContext,
} from "../../../supabase/functions/execute-scheduled-actions/execute.ts";
import type { Call } from "../../../supabase/functions/execute-scheduled-actions/calls.ts";
import type { CallOutcome } from "../../../supabase/functions/execute-scheduled-actions/outcome.ts";

/** Actions kept in memory: claimed in order, receivers in turns, as the database does it. */
function memoryActions(receivers: Record<string, number>) {
  const waiting = new Map(Object.entries(receivers));
  const results: Result[] = [];
  const claims: Claim[] = [];
  let made = 0;
  const actions: Actions = {
    executeInDatabase: () => Promise.resolve({ executed: 0, counts: {}, dead: [] }),
    claim(claim) {
      claims.push(claim);
      const claimed: ClaimedAction[] = [];
      const open = [...waiting.keys()].filter((name) => !claim.exceptReceivers.includes(name));
      for (let place = 0; place < claim.perReceiver; place++) {
        for (const receiver of open) {
          const left = waiting.get(receiver) ?? 0;
          if (left === 0 || claimed.length === claim.limit) continue;
          waiting.set(receiver, left - 1);
          claimed.push(actionFor(receiver, ++made));
        }
      }
      const more = open.some((name) => (waiting.get(name) ?? 0) > 0);
      return Promise.resolve({ token: crypto.randomUUID(), more, actions: claimed });
    },
    report(batch) {
      results.push(...batch);
      const completed = batch.filter(({ outcome }) => outcome === "completed").length;
      const retried = batch.filter(({ outcome }) => outcome === "failed").length;
      return Promise.resolve({
        refused: 0,
        dead: [],
        counts: { callback: { completed, retried } },
      });
    },
    due: () => Promise.resolve({}),
  };
  return { actions, results, claims };
}

function actionFor(receiver: string, n: number): ClaimedAction {
  return {
    id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
    kind: "callback",
    receiver,
    url: `https://${receiver}/`,
    function_name: null,
    payload: "{}",
    idempotency_key: crypto.randomUUID(),
    due_at: "2026-03-02T12:00:00Z",
    attempts: 0,
  };
}

/** The job's clock, in ms; calls end when it has moved on to their end. */
function fakeTime(limitMs = 140_000) {
  let nowMs = 0;
  const pending: { at: number; end: () => void }[] = [];
  const stop = new AbortController();
  const context: ExecuteContext = {
    log: { info() {}, warn() {}, error() {} },
    signal: stop.signal,
    now: () => new Date(nowMs),
    remainingMs: () => Math.max(0, limitMs - nowMs),
    reportProgress() {},
  };
  /** A call that takes so long and ends so. */
  const after = (ms: number, outcome: CallOutcome) =>
    new Promise<CallOutcome>((resolve) =>
      pending.push({ at: nowMs + ms, end: () => resolve(outcome) })
    );
  /** Runs the work, moving on to the next call's end whenever nothing else can happen. */
  async function run<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const done = work.finally(() => over = true);
    done.catch(() => {});
    while (!over) {
      await new Promise((resolve) => setImmediate(resolve));
      pending.sort((a, b) => a.at - b.at);
      const next = pending.shift();
      if (next === undefined) continue;
      nowMs = Math.max(nowMs, next.at);
      next.end();
    }
    return await done;
  }
  return { context, after, run, stop, now: () => nowMs };
}

const ok: CallOutcome = { outcome: "completed", http_status: 200 };
const silence: CallOutcome = {
  outcome: "failed",
  error: "no answer within 10 s",
  silent: true,
};

/** Runs the job over these receivers; what it did, and how many calls were under way at most. */
async function runOver(
  receivers: Record<string, number>,
  call: (receiver: string, time: ReturnType<typeof fakeTime>) => Promise<CallOutcome>,
  limitMs?: number,
) {
  const time = fakeTime(limitMs);
  const memory = memoryActions(receivers);
  const running = new Map<string, number>();
  const most = new Map<string, number>();
  const change = (name: string, by: number) => {
    const count = (running.get(name) ?? 0) + by;
    running.set(name, count);
    most.set(name, Math.max(most.get(name) ?? 0, count));
  };
  const callback: Call = async ({ receiver }) => {
    for (const name of [receiver, "all"]) change(name, 1);
    const outcome = await call(receiver, time);
    for (const name of [receiver, "all"]) change(name, -1);
    return outcome;
  };
  const figures = await time.run(execute(time.context, memory.actions, { callback }, {}));
  const of = (outcome: string) =>
    memory.results.filter((result) => result.outcome === outcome).length;
  return { ...memory, figures, most, of, elapsedMs: time.now(), time };
}

Deno.test("calls are bounded: fifty in all, ten to a receiver, two before it has answered", async () => {
  const receivers = Object.fromEntries(
    Array.from({ length: 20 }, (_, n) => [`r${n}.example`, 50]),
  );
  const { most, of, elapsedMs } = await runOver(receivers, (_, time) => time.after(100, ok));
  assert.equal(most.get("all"), 50);
  for (const name of Object.keys(receivers)) assert.ok(most.get(name)! <= 10, name);
  assert.equal(of("completed"), 1000);
  assert.ok(elapsedMs < 2_500, `${elapsedMs} ms`);

  const hanging = await runOver({ "hangs.example": 50 }, (_, time) => time.after(10_000, silence));
  assert.equal(hanging.most.get("hangs.example"), 2);
});

Deno.test("actions of receivers that hang are given back; all others are called soon", async () => {
  const receivers: Record<string, number> = {};
  for (let n = 0; n < 12; n++) receivers[`hangs${n}.example`] = 100;
  for (let n = 0; n < 5; n++) receivers[`fast${n}.example`] = 400;
  let lastFast = 0;
  const { of, figures, elapsedMs, results } = await runOver(receivers, async (receiver, time) => {
    if (receiver.startsWith("hangs")) return await time.after(10_000, silence);
    const outcome = await time.after(50, ok);
    lastFast = time.now();
    return outcome;
  });
  assert.equal(of("completed"), 2000);
  assert.ok(lastFast < 60_000, `the last fast call ended after ${lastFast} ms`);
  assert.ok(elapsedMs < 70_000, `${elapsedMs} ms`);
  // Two at once, and at most two more after the first pair.
  assert.ok(of("failed") >= 36 && of("failed") <= 48, `${of("failed")} calls hung`);
  assert.equal(of("released"), figures.released);
  assert.equal(new Set(results.map(({ id }) => id)).size, results.length, "reported twice");
});

Deno.test("a receiver that refuses quickly is called on: only silence counts", async () => {
  const { of } = await runOver(
    { "angry.example": 40 },
    (_, time) => time.after(20, { outcome: "failed", http_status: 500, error: "HTTP 500" }),
  );
  assert.equal(of("failed"), 40);
});

Deno.test("a run begins no call that could outlast it, and gives back the actions it claimed", async () => {
  const begun: number[] = [];
  const { of, figures, elapsedMs, claims } = await runOver({ "slow.example": 500 }, (_, time) => {
    begun.push(time.now());
    return time.after(9_000, ok);
  }, 60_000);
  assert.ok(Math.max(...begun) <= 45_000);
  assert.ok(elapsedMs <= 55_000);
  assert.equal(figures.stopped, "time");
  assert.equal(of("completed"), begun.length);
  assert.equal(of("completed") + of("released"), claims.length > 0 ? 200 : 0);
  for (const { leaseSeconds } of claims) assert.ok(leaseSeconds >= 90, "a claim outlasts its run");
});

Deno.test("a cancelled run reports the results it has and gives the other actions back", async () => {
  const time = fakeTime();
  const { actions, results } = memoryActions({ "a.example": 30 });
  let calls = 0;
  const callback: Call = async (_, signal) => {
    if (++calls === 5) time.stop.abort(new Error("cancelled"));
    return signal.aborted ? silence : await time.after(10, ok);
  };
  const figures = await time.run(execute(time.context, actions, { callback }, {}));
  assert.ok(calls < 12);
  assert.equal(figures.stopped, "time");
  assert.equal(results.length, 30);
  assert.equal(results.filter(({ outcome }) => outcome === "failed").length, 0);
});

Deno.test("a failed claim fails the run, after the results of its calls are reported", async () => {
  const time = fakeTime();
  const memory = memoryActions({ "a.example": 300 });
  const claim = memory.actions.claim;
  memory.actions.claim = (wanted) =>
    memory.claims.length > 0 ? Promise.reject(new Error("the database is away")) : claim(wanted);
  const callback: Call = () => time.after(10, ok);
  await assert.rejects(
    time.run(execute(time.context, memory.actions, { callback }, {})),
    /the database is away/,
  );
  const ids = new Set(memory.results.map(({ id }) => id));
  assert.equal(ids.size, 200);
});

Deno.test("actions that another run holds are left to the next run", async () => {
  const time = fakeTime();
  const memory = memoryActions({});
  let claims = 0;
  memory.actions.claim = () => {
    if (++claims > 20) throw new Error("it never ends");
    return Promise.resolve({ token: crypto.randomUUID(), more: true, actions: [] });
  };
  await time.run(execute(time.context, memory.actions, { callback: () => time.after(10, ok) }, {}));
  assert.equal(claims, 1);
});
