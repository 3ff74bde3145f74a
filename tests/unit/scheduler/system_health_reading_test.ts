import assert from "node:assert/strict";
import {
  call,
  type HealthDatabase,
  readComponent,
} from "../../../supabase/functions/system-health/reading.ts";
import { defined } from "../../support/system-health.ts";

const quiet = new AbortController().signal;

/** A database that answers each call with what `answer` makes of it. */
function database(
  answer: (name: string, signal: AbortSignal, args: Record<string, unknown>) => unknown,
): HealthDatabase {
  return {
    rpc: (name, args) => ({
      abortSignal: async (signal) =>
        await answer(name, signal, args) as { data: unknown; error: unknown },
    }),
  };
}

const failing = (code: string, message: string) =>
  database(() => ({ data: null, error: { code, message, details: null, hint: null } }));

const agents = defined("agents", "Agents", 6, { error_percent: {}, silent_percent: {} });
const figures = { error_percent: 0, silent_percent: null };

Deno.test("a reading is what the component's function returns", async () => {
  const calls: unknown[] = [];
  const db = database((name, _signal, args) => {
    calls.push([name, args]);
    return { data: { watched: 2, figures, details: { a: 1 }, notes: ["n"] }, error: null };
  });
  assert.deepEqual(await readComponent(db, agents, quiet), {
    reading: { watched: 2, figures, details: { a: 1 }, notes: ["n"] },
  });
  assert.deepEqual(calls, [["scheduler_read_health", { p_component: "agents" }]]);
});

Deno.test("a reading without details and notes has none", async () => {
  const db = database(() => ({ data: { watched: 0, figures }, error: null }));
  assert.deepEqual(await readComponent(db, agents, quiet), {
    reading: { watched: 0, figures, details: {}, notes: [] },
  });
});

const reasons: [string, string, RegExp][] = [
  [
    "42P01",
    'relation "public.agents" does not exist',
    /^a table is missing: relation "public.agents"/,
  ],
  ["42703", 'column "x" does not exist', /^a column is missing: /],
  ["42501", "permission denied for table agents", /^permission is missing: permission denied/],
  [
    "42883",
    "function agents.agents_health() does not exist",
    /^a function is missing: function agents\.agents_health\(\) does not exist$/,
  ],
  [
    "PGRST202",
    "Could not find the function public.scheduler_read_health",
    /^a function is missing: Could not find the function public\.scheduler_read_health$/,
  ],
  ["3F000", 'schema "agents" does not exist', /^schema "agents" does not exist \(3F000\)$/],
  ["22023", "there is no component 'agents'", /^bad data: there is no component 'agents'$/],
  ["57014", "canceling statement due to statement timeout", /^took too long and was stopped: /],
  ["55P03", "canceling statement due to lock timeout", /^a table it reads is locked: /],
  ["PGRST003", "Timed out acquiring connection", /^no free connection: /],
  ["53300", "too many connections", /^no free connection: /],
  ["22008", "cannot subtract infinite timestamps", /^bad data: cannot subtract/],
  ["22P02", "invalid input syntax", /^bad data: /],
  ["", "TypeError: error sending request", /^the database cannot be reached: TypeError/],
  ["XX000", "cache lookup failed", /^cache lookup failed \(XX000\)$/],
  ["42P01", "", /^a table is missing: no message$/],
];

for (const [code, message, words] of reasons) {
  Deno.test(`an error ${code || "without a code"} is told in words`, async () => {
    const outcome = await readComponent(failing(code, message), agents, quiet);
    assert.ok("unreadable" in outcome);
    assert.match(outcome.unreadable, words);
  });
}

const bad: [string, unknown, RegExp][] = [
  ["nothing", null, /^bad data: the answer: /],
  ["a text", "healthy", /^bad data: the answer: /],
  ["no figures", { watched: 1 }, /^bad data: figures: /],
  [
    "a missing figure",
    { watched: 1, figures: { error_percent: 1 } },
    /^bad data: figures.silent_percent is missing$/,
  ],
  [
    "a text for a figure",
    { watched: 1, figures: { ...figures, error_percent: "Infinity" } },
    /^bad data: figures.error_percent: /,
  ],
  [
    "a negative figure",
    { watched: 1, figures: { ...figures, error_percent: -1 } },
    /^bad data: figures.error_percent: /,
  ],
  ["half a thing", { watched: 0.5, figures }, /^bad data: watched: /],
];

for (const [what, data, words] of bad) {
  Deno.test(`${what} from the database is bad data`, async () => {
    const outcome = await readComponent(database(() => ({ data, error: null })), agents, quiet);
    assert.ok("unreadable" in outcome);
    assert.match(outcome.unreadable, words);
  });
}

Deno.test("a very long message is cut", async () => {
  const outcome = await readComponent(failing("XX000", "x".repeat(100_000)), agents, quiet);
  assert.ok("unreadable" in outcome && outcome.unreadable.length < 1_100);
});

Deno.test("a client that throws is told in words", async () => {
  const db = database(() => Promise.reject(new TypeError("boom")));
  assert.deepEqual(await call(db, "x", {}, quiet), {
    unreadable: "the database cannot be reached: boom",
  });
  const odd = database(() => Promise.reject("odd"));
  assert.deepEqual(await call(odd, "x", {}, quiet), { unreadable: "failed: odd" });
});

Deno.test("a database that never answers is given up, and told to stop", async () => {
  let told = false;
  const db = database((_name, signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        told = true;
        reject(signal.reason);
      });
    })
  );
  assert.deepEqual(await readComponent(db, agents, quiet, 20), {
    unreadable: "no answer within 0.02 s",
  });
  assert.equal(told, true);
});

Deno.test("a client that is deaf to its signal is given up as well", async () => {
  const db = database(() => new Promise(() => {}));
  assert.deepEqual(await call(db, "x", {}, quiet, 20), { unreadable: "no answer within 0.02 s" });
});

Deno.test("when the run is being stopped, nothing is waited for", async () => {
  const stop = new AbortController();
  const db = database(() => {
    stop.abort();
    return new Promise(() => {});
  });
  const outcome = await call(db, "x", {}, stop.signal, 60_000);
  assert.ok("unreadable" in outcome);
});

Deno.test("when the run was stopped, nothing is asked", async () => {
  const db = database(() => assert.fail("asked"));
  assert.deepEqual(await call(db, "x", {}, AbortSignal.abort()), {
    unreadable: "not asked: the run is being stopped",
  });
});
