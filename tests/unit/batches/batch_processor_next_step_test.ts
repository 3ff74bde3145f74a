import assert from "node:assert/strict";
import {
  callsToBegin,
  nextRunAt,
  nextStep,
  type Step,
  type Time,
} from "../../../supabase/functions/robust-batch-processor/next-step.ts";
import type {
  Answerer,
  RunState,
} from "../../../supabase/functions/robust-batch-processor/state.ts";
import type { Result, Task } from "../../../supabase/functions/robust-batch-processor/steps.ts";

const NOW = Date.parse("2026-03-02T12:00:00Z");

const task = (id: number, answerer = "one"): Task => ({ id, answerer, prompt: "Question?" });
const tasks = (...ids: number[]) => ids.map((id) => task(id));
const ended = (id: number, outcome: Result["outcome"] = "answered"): Result => ({
  id,
  answerer: "one",
  outcome,
});

function answerer(values: Partial<Answerer> = {}): Answerer {
  return {
    provider: {
      model: "m",
      api_url_variable: "ONE_URL",
      api_key_variable: "ONE_KEY",
      concurrency: 4,
      max_completion_tokens: 100,
      half_open: false,
    },
    waiting: [],
    calling: 0,
    slowestMs: null,
    hasFreedSlots: false,
    isTried: false,
    ...values,
  };
}

type Answerers = Record<string, Partial<Answerer>>;
type Given = Partial<Omit<RunState, "answerers">> & { answerers?: Answerers };

/** The state of a run that has just claimed, with time enough and 100 open tasks in its batch job. */
function state({ answerers = {}, ...values }: Given): RunState {
  return {
    maxTasks: 1_000,
    callMs: 120_000,
    status: "running",
    ended: false,
    open: 100,
    figures: { answered: 0, failed: 0, givenBack: 0, lost: 0 },
    held: new Set(),
    results: [],
    writing: [],
    toGiveBack: [],
    more: [],
    claimAt: null,
    claimedAt: NOW,
    openBreakers: [],
    handedOnAt: null,
    ...values,
    answerers: Object.fromEntries(
      Object.entries(answerers).map(([name, each]) => [name, answerer(each)]),
    ),
  };
}

function time(values: Partial<Time> = {}): Time {
  return { now: NOW, remainingMs: 140_000, isStopped: false, ...values };
}

const used = { answered: 900, failed: 100, givenBack: 0, lost: 0 };
const steps: [name: string, state: Given, time: Partial<Time>, step: Step][] = [
  ["nothing is left: the end", {}, {}, { do: "end" }],
  [
    "calls are under way: it waits, five seconds at the most",
    {
      answerers: { one: { calling: 2 } },
    },
    {},
    { do: "wait", ms: 5_000 },
  ],
  [
    "calls are under way, and a claim is due before",
    {
      answerers: { one: { calling: 2 } },
      claimAt: NOW + 1_000,
    },
    {},
    { do: "wait", ms: 1_000 },
  ],
  ["tasks are due within five seconds: it waits for them", { claimAt: NOW + 4_000 }, {}, {
    do: "wait",
    ms: 4_000,
  }],
  ["tasks are due later: the end, the next run takes them", { claimAt: NOW + 6_000 }, {}, {
    do: "end",
  }],
  ["a claim is due", { claimAt: NOW, answerers: { one: { calling: 2, waiting: tasks(1) } } }, {}, {
    do: "claim",
    busy: { one: 3 },
  }],
  [
    "a claim is due, and one answerer is too slow for the time that is left",
    {
      claimAt: NOW,
      answerers: { one: { calling: 2 }, slow: { calling: 1, slowestMs: 60_000 } },
    },
    { remainingMs: 60_000 },
    { do: "claim", busy: { one: 2, slow: 1_000_000 } },
  ],
  [
    "five seconds after the last claim it looks again",
    {
      answerers: { one: { calling: 2 } },
      claimedAt: NOW - 5_000,
    },
    {},
    { do: "claim", busy: { one: 2 } },
  ],
  [
    "an answerer has more tasks, and has slots again",
    {
      answerers: { one: { calling: 3, hasFreedSlots: true } },
      more: ["one"],
    },
    {},
    { do: "claim", busy: { one: 3 } },
  ],
  [
    "an answerer has more tasks, and all its slots are taken",
    {
      answerers: { one: { calling: 4 } },
      more: ["one"],
    },
    {},
    { do: "wait", ms: 5_000 },
  ],
  [
    "another answerer has slots again, and no more tasks",
    {
      answerers: { one: { calling: 4 }, two: { calling: 1, hasFreedSlots: true } },
      more: ["one"],
    },
    {},
    { do: "wait", ms: 5_000 },
  ],
  ["results are written before it claims", { claimAt: NOW, results: [ended(1), ended(2)] }, {}, {
    do: "write",
    results: [ended(1), ended(2)],
  }],
  [
    "results that nobody waits for are written",
    {
      results: [ended(1)],
      answerers: { one: { calling: 1 } },
    },
    {},
    { do: "write", results: [ended(1)] },
  ],
  [
    "tasks behind a breaker that opened are given back",
    {
      toGiveBack: tasks(5),
      results: [ended(1)],
    },
    {},
    { do: "give back", tasks: tasks(5) },
  ],
  [
    "tasks of an answerer that is too slow for the time that is left are given back",
    {
      answerers: { one: { waiting: tasks(1) }, slow: { waiting: tasks(2), slowestMs: 60_000 } },
    },
    { remainingMs: 60_000 },
    { do: "give back", tasks: tasks(2) },
  ],
  [
    "the deadline has come: what waits is given back",
    {
      answerers: { one: { calling: 1, waiting: tasks(1, 2) } },
    },
    { isStopped: true },
    { do: "give back", tasks: tasks(1, 2) },
  ],
  [
    "maxTasks are used up: what waits is given back",
    {
      figures: used,
      answerers: { one: { waiting: tasks(1) } },
    },
    {},
    { do: "give back", tasks: tasks(1) },
  ],
  [
    "maxTasks are used up: no claim, and calls under way end",
    {
      figures: used,
      open: 1,
      answerers: { one: { calling: 1, hasFreedSlots: true } },
      more: ["one"],
      claimAt: NOW,
    },
    {},
    { do: "wait", ms: 5_000 },
  ],
  [
    "maxTasks are used up, and nothing is under way: the end",
    {
      figures: used,
      claimAt: NOW,
    },
    {},
    { do: "end" },
  ],
  ["no time for a call: the end", { claimAt: NOW }, { remainingMs: 14_999 }, { do: "end" }],
  ["just time for a call: it claims", { claimAt: NOW }, { remainingMs: 15_000 }, {
    do: "claim",
    busy: {},
  }],
  [
    "a short call_timeout_seconds needs less time",
    {
      callMs: 1_000,
      claimAt: NOW,
    },
    { remainingMs: 2_000 },
    { do: "claim", busy: {} },
  ],
  [
    "the batch job is over: the end, and what waits is nobody's",
    {
      status: "cancelled",
      answerers: { one: { waiting: tasks(1) } },
      toGiveBack: tasks(2),
    },
    {},
    { do: "end" },
  ],
  [
    "the batch job is over, and calls are under way: it waits for them",
    {
      status: "cancelled",
      answerers: { one: { calling: 1 } },
    },
    { isStopped: true },
    { do: "wait", ms: 5_000 },
  ],
  [
    "the batch job was deleted: results are brought all the same",
    {
      status: "unknown",
      results: [ended(1)],
    },
    {},
    { do: "write", results: [ended(1)] },
  ],

  [
    "it begins no further call, and others could: it has the next run called",
    {
      figures: used,
      answerers: { one: { calling: 1 } },
    },
    {},
    { do: "hand on" },
  ],
  [
    "an answerer has more tasks and is too slow: it has the next run called",
    {
      answerers: { slow: { calling: 1, slowestMs: 60_000 } },
      more: ["slow"],
    },
    { remainingMs: 60_000 },
    { do: "hand on" },
  ],
  [
    "once is enough",
    {
      figures: used,
      handedOnAt: NOW - 1,
      answerers: { one: { calling: 1 } },
    },
    {},
    { do: "wait", ms: 5_000 },
  ],
  [
    "not for what this run itself is about to bring",
    {
      figures: used,
      open: 2,
      answerers: { one: { calling: 1 } },
      results: [ended(1)],
    },
    {},
    { do: "write", results: [ended(1)] },
  ],
  ["not when no call is under way: the end of this run does", { figures: used }, {}, { do: "end" }],
];

Deno.test("nextStep()", async (test) => {
  for (const [name, given, at, step] of steps) {
    await test.step(name, () => assert.deepEqual(nextStep(state(given), time(at)), step));
  }
});

Deno.test("nextStep() writes 200 results at once, and answers of four million characters", () => {
  const written = (results: Result[]) => {
    const step = nextStep(state({ results }), time());
    return step.do === "write" ? step.results.length : step.do;
  };
  assert.equal(written(Array.from({ length: 300 }, (_, id) => ended(id))), 200);
  const long = (characters: number) => ({ ...ended(1), answer: "x".repeat(characters) });
  assert.equal(written([long(3_000_000), long(1_000_000), long(1)]), 2);
  assert.equal(written([long(5_000_000), long(1)]), 1, "one however long");
});

const begun: [name: string, state: Given, time: Partial<Time>, ids: number[]][] = [
  [
    "as many as the provider takes",
    {
      answerers: { one: { calling: 1, waiting: tasks(1, 2, 3, 4, 5) } },
    },
    {},
    [1, 2, 3],
  ],
  ["none beyond that", { answerers: { one: { calling: 5, waiting: tasks(1) } } }, {}, []],
  [
    "of each answerer by itself",
    {
      answerers: { one: { calling: 4, waiting: tasks(1) }, two: { waiting: [task(2, "two")] } },
    },
    {},
    [2],
  ],
  [
    "none of an answerer whose call has just failed",
    {
      results: [ended(9, "failed")],
      answerers: { one: { waiting: tasks(1) }, two: { waiting: [task(2, "two")] } },
    },
    {},
    [2],
  ],
  [
    "none while its failure is being written",
    {
      writing: [ended(9, "waiting")],
      answerers: { one: { waiting: tasks(1) } },
    },
    {},
    [],
  ],
  [
    "of an answerer that refused a task",
    {
      results: [ended(9, "refused")],
      answerers: { one: { waiting: tasks(1) } },
    },
    {},
    [1],
  ],
  [
    "none of an answerer that is too slow for the time that is left",
    {
      answerers: {
        one: { slowestMs: 60_000, waiting: tasks(1) },
        two: { slowestMs: 6_000, waiting: [task(2, "two")] },
      },
    },
    { remainingMs: 100_000 },
    [2],
  ],
  [
    "none after the deadline",
    { answerers: { one: { waiting: tasks(1) } } },
    { isStopped: true },
    [],
  ],
  [
    "none of a batch job that is over",
    {
      status: "cancelled",
      answerers: { one: { waiting: tasks(1) } },
    },
    {},
    [],
  ],
  ["none after maxTasks", { figures: used, answerers: { one: { waiting: tasks(1) } } }, {}, []],
];

Deno.test("callsToBegin()", async (test) => {
  for (const [name, given, at, ids] of begun) {
    await test.step(
      name,
      () => assert.deepEqual(callsToBegin(state(given), time(at)).map(({ id }) => id), ids),
    );
  }
});

const short = { remainingMs: 10_000 };
const called: [
  name: string,
  state: Given,
  forgotten: number,
  time: Partial<Time>,
  inMs: number,
][] = [
  ["at once, when an answerer has more tasks", { more: ["one"], claimAt: NOW + 9_000 }, 0, {}, 0],
  ["when the rest is due", { claimAt: NOW + 9_000 }, 0, {}, 9_000],
  ["at once, when nothing is known of the rest", {}, 0, {}, 0],
  ["at once, when it held tasks that it did not know of", { claimAt: NOW + 9_000 }, 2, {}, 0],
  ["after this worker's end, when there was no time for a single call", {}, 0, short, 11_000],
  ["later, when the rest is due later than that", { claimAt: NOW + 60_000 }, 0, short, 60_000],
  [
    "at once, when the time was used for calls",
    {
      answerers: { one: { slowestMs: 5 } },
    },
    0,
    short,
    0,
  ],
];

Deno.test("nextRunAt()", async (test) => {
  for (const [name, given, forgotten, at, inMs] of called) {
    await test.step(
      name,
      () => assert.equal(nextRunAt(state(given), forgotten, time(at)) - NOW, inMs),
    );
  }
});
