import assert from "node:assert/strict";
import type { Outcome } from "../../../supabase/functions/robust-batch-processor/call-provider.ts";
import {
  afterCall,
  afterCallsBegan,
  afterClaim,
  afterGivingBack,
  afterHeartbeat,
  afterWriting,
  begin,
  callsUnderWay,
  type RunState,
  whileWriting,
} from "../../../supabase/functions/robust-batch-processor/state.ts";
import type {
  Claimed,
  Finished,
  Task,
} from "../../../supabase/functions/robust-batch-processor/steps.ts";

const NOW = Date.parse("2026-03-02T12:00:00Z");
const task = (id: number, answerer = "one"): Task => ({ id, answerer, prompt: "Question?" });

function claim(values: Partial<Claimed> = {}, halfOpen: string[] = []): Claimed {
  const tasks = values.tasks ?? [];
  const names = new Set(tasks.flatMap(({ answerer }) => answerer ?? []));
  return {
    status: "running",
    ended: false,
    tasks,
    providers: Object.fromEntries([...names].map((name) => [name, {
      model: "m",
      api_url_variable: "ONE_URL",
      api_key_variable: "ONE_KEY",
      concurrency: 4,
      max_completion_tokens: 100,
      half_open: halfOpen.includes(name),
    }])),
    more: [],
    next_in_ms: null,
    open: 10,
    settings: { call_timeout_seconds: 120, heartbeat_seconds: 10 },
    ...values,
  };
}

const given = (...tasks: Task[]) => tasks.map((each) => ({ ...each, problem: null }));

function finished(values: Partial<Finished> = {}): Finished {
  return {
    accepted: 0,
    refused: 0,
    completed: 0,
    failed: 0,
    status: "running",
    ended: false,
    open: 10,
    open_breakers: [],
    ...values,
  };
}

/** The state of a run that writes these outcomes. */
function writing(
  outcome: Outcome["outcome"],
  tasks: Task[],
  halfOpen: string[] = [],
): RunState {
  let state = afterCallsBegan(begin(claim({ tasks: given(...tasks) }, halfOpen), 100, NOW), tasks);
  for (const each of tasks) state = afterCall(state, each, { outcome }, 5);
  return whileWriting(state, state.results);
}

Deno.test("a claim brings tasks to call, and tasks with a problem, which are results already", () => {
  const state = begin(
    claim({
      tasks: [
        ...given(task(1), task(2, "two")),
        { id: 3, answerer: "one", prompt: null, problem: "one: prompt longer than 9 characters" },
        { id: 4, answerer: null, prompt: null, problem: "one: disabled" },
      ],
      more: ["two"],
      next_in_ms: 1_500,
    }),
    100,
    NOW,
  );
  assert.deepEqual(state.answerers.one!.waiting, [task(1)]);
  assert.deepEqual(state.answerers.two!.waiting, [task(2, "two")]);
  assert.deepEqual(state.results, [
    { id: 3, outcome: "refused", reason: "one: prompt longer than 9 characters" },
    { id: 4, outcome: "unusable", reason: "one: disabled" },
  ]);
  assert.deepEqual([state.more, state.claimAt, state.claimedAt], [["two"], NOW + 1_500, NOW]);
});

Deno.test("a further claim adds tasks, keeps calls under way, and forgets which slots were freed", () => {
  const first = afterWriting(writing("answered", [task(1)]), finished(), NOW);
  assert.equal(first.answerers.one!.hasFreedSlots, true);
  const state = afterClaim(
    afterCallsBegan(afterClaim(first, claim({ tasks: given(task(2)) }), NOW), [task(2)]),
    claim({ tasks: given(task(3)) }),
    NOW + 5,
  );
  const { waiting, calling, hasFreedSlots, slowestMs } = state.answerers.one!;
  assert.deepEqual([waiting, calling, hasFreedSlots, slowestMs], [[task(3)], 1, false, 5]);
  assert.deepEqual([state.claimAt, state.claimedAt], [null, NOW + 5]);
});

Deno.test("a task that the run has already is not taken a second time, whether it waits, is called or has a result", () => {
  const claimed = begin(claim({ tasks: given(task(1), task(2), task(3)) }), 100, NOW);
  const calling = afterCallsBegan(claimed, [task(1), task(2)]);
  const state = afterCall(calling, task(2), { outcome: "answered" }, 5);
  const again = afterClaim(state, claim({ tasks: given(task(1), task(2), task(3)) }), NOW + 5);
  assert.deepEqual(again.answerers.one!.waiting, [task(3)]);
  assert.equal(callsUnderWay(again), 1);
  assert.equal(again.results.length, 1);
});

Deno.test("a task that was written or given back can be claimed again", () => {
  const written = afterWriting(writing("failed", [task(1)]), finished({ accepted: 1 }), NOW);
  const both = afterClaim(written, claim({ tasks: given(task(1), task(2)) }), NOW);
  assert.deepEqual(both.answerers.one!.waiting, [task(1), task(2)]);
  const givenBack = afterGivingBack(both, [task(2)], NOW);
  const again = afterClaim(givenBack, claim({ tasks: given(task(2)) }), NOW);
  assert.deepEqual(again.answerers.one!.waiting, [task(1), task(2)]);
});

Deno.test("a call moves from those that wait to those under way, then to the results", () => {
  const claimed = begin(claim({ tasks: given(task(1), task(2)) }), 100, NOW);
  const calling = afterCallsBegan(claimed, [task(1)]);
  assert.deepEqual([calling.answerers.one!.waiting, callsUnderWay(calling)], [[task(2)], 1]);
  const over = afterCall(calling, task(1), { outcome: "failed", reason: "HTTP 500" }, 700);
  assert.deepEqual([callsUnderWay(over), over.answerers.one!.slowestMs], [0, 700]);
  assert.deepEqual(over.results, [
    { id: 1, answerer: "one", outcome: "failed", reason: "HTTP 500" },
  ]);
  const slower = afterCall(afterCallsBegan(over, [task(2)]), task(2), { outcome: "cut" }, 300);
  assert.equal(slower.answerers.one!.slowestMs, 700, "the slowest counts");
});

Deno.test("a result that comes while others are written is not lost", () => {
  const two = afterCallsBegan(
    begin(claim({ tasks: given(task(1), task(2)) }), 100, NOW),
    [task(1), task(2)],
  );
  const one = afterCall(two, task(1), { outcome: "answered" }, 5);
  const meanwhile = afterCall(whileWriting(one, one.results), task(2), { outcome: "cut" }, 5);
  const state = afterWriting(meanwhile, finished({ accepted: 1, completed: 1, open: 9 }), NOW);
  assert.deepEqual(state.results.map(({ id }) => id), [2]);
  assert.deepEqual([state.writing, state.open, state.figures.answered], [[], 9, 1]);
});

const claimsAgain: [name: string, state: RunState, told: Partial<Finished>, again: boolean][] = [
  ["all was taken and ended", writing("answered", [task(1)]), { accepted: 1, completed: 1 }, false],
  ["a task is open again", writing("failed", [task(1)]), { accepted: 1 }, true],
  ["a lease was lost", writing("answered", [task(1)]), { refused: 1 }, true],
  ["a call that tried a provider was answered", writing("answered", [task(1)], ["one"]), {
    accepted: 1,
    completed: 1,
  }, true],
  ["a call that tried a provider was refused: it is back", writing("refused", [task(1)], ["one"]), {
    accepted: 1,
    failed: 1,
  }, true],
  [
    "a call that tried a provider did not show whether it is back: another may try",
    writing("unusable", [task(1)], ["one"]),
    { accepted: 1, failed: 1 },
    true,
  ],
  ["a call that tried a provider failed for good", writing("failed", [task(1)], ["one"]), {
    accepted: 1,
    failed: 1,
    open_breakers: ["one"],
  }, false],
  [
    "a breaker has closed since",
    { ...writing("answered", [task(1)]), openBreakers: ["one", "two"] },
    { accepted: 1, completed: 1, open_breakers: ["two"] },
    true,
  ],
  [
    "a breaker has opened since",
    { ...writing("answered", [task(1)]), openBreakers: ["two"] },
    { accepted: 1, completed: 1, open_breakers: ["one", "two"] },
    false,
  ],
];

Deno.test("after results were written a claim is due, where there may be something to claim", async (test) => {
  for (const [name, state, told, again] of claimsAgain) {
    await test.step(
      name,
      () =>
        assert.equal(afterWriting(state, finished(told), NOW + 9).claimAt, again ? NOW + 9 : null),
    );
  }
});

Deno.test("tasks that wait for a provider whose breaker has opened are to be given back", () => {
  const claimed = begin(claim({ tasks: given(task(1), task(2), task(3, "two")) }), 100, NOW);
  const calling = afterCallsBegan(claimed, [task(1)]);
  const failed = afterCall(calling, task(1), { outcome: "failed" }, 5);
  const told = finished({ accepted: 1, open_breakers: ["one"] });
  const state = afterWriting(whileWriting(failed, failed.results), told, NOW);
  assert.deepEqual(state.toGiveBack, [task(2)]);
  assert.deepEqual(state.answerers.one!.waiting, []);
  assert.deepEqual(state.answerers.two!.waiting, [task(3, "two")]);
  const without = afterGivingBack(state, [task(2)], NOW + 1);
  assert.deepEqual([without.toGiveBack, without.claimAt], [[], NOW + 1]);
  assert.equal(without.figures.givenBack, 2, "the failed one, and the one that was not called");
});

Deno.test("the run that ended the batch job says so, also when a later call finds it over", () => {
  const told = finished({ accepted: 1, completed: 1, status: "completed", ended: true, open: 0 });
  const state = afterWriting(writing("answered", [task(1)]), told, NOW);
  assert.deepEqual([state.status, state.ended], ["completed", true]);
  assert.equal(afterClaim(state, claim({ status: "completed" }), NOW).ended, true);
});

Deno.test("a batch job stays over when a reply comes that is older than the heartbeat which said so", () => {
  const over = afterHeartbeat(writing("answered", [task(1)]), "cancelled");
  assert.equal(afterClaim(over, claim({ status: "running" }), NOW).status, "cancelled");
  assert.equal(afterWriting(over, finished({ status: "running" }), NOW).status, "cancelled");
});
