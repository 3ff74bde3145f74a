import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { after, NOON } from "../../support/scheduler.ts";

interface Task {
  attempts?: number;
  failures?: number;
  asks_fallback?: true;
  error_message?: string;
}
interface Result {
  outcome: string;
  answerer?: string | null;
  reason?: string;
  wait_seconds?: number;
  provider_is_down?: true;
}
interface After {
  status?: "failed";
  attempts?: number;
  failures?: number;
  asks_fallback?: true;
  /** Seconds from now. */
  wait?: number;
  error_message: string | null;
}
/** The provider's fall-back is enabled, or what waits for a provider fails by now or after so many seconds. */
interface Situation {
  fallback?: true;
  failsIn?: number;
}

const settings = { max_failures: 3, retry_seconds: 30, open_seconds: 60 };
const failed = { outcome: "failed", reason: "HTTP 500" };
const unusable = { outcome: "unusable", reason: "HTTP 401" };
const waiting = { outcome: "waiting", reason: "HTTP 429" };
const why = (reason: string) => ({ error_message: `one: ${reason}` });

const cases: [name: string, task: Task, result: Result, situation: Situation, after: After][] = [
  ["refused: it fails", {}, { outcome: "refused", reason: "HTTP 400" }, { fallback: true }, {
    status: "failed",
    ...why("HTTP 400"),
  }],
  ["refused without a reason: the outcome is the reason", {}, { outcome: "refused" }, {}, {
    status: "failed",
    ...why("refused"),
  }],
  [
    "refused, and nobody was asked: the reason alone",
    {},
    {
      outcome: "refused",
      answerer: null,
      reason: "one: prompt longer than 9 characters",
    },
    {},
    { status: "failed", error_message: "one: prompt longer than 9 characters" },
  ],

  ["failed: again after 30 s", {}, failed, { fallback: true }, {
    failures: 1,
    wait: 30,
    ...why("HTTP 500"),
  }],
  ["failed a second time: again after a minute", { failures: 1 }, failed, { fallback: true }, {
    failures: 2,
    wait: 60,
    ...why("HTTP 500"),
  }],
  ["failed a third time: to the fall-back, which begins anew", { failures: 2 }, failed, {
    fallback: true,
  }, { failures: 0, asks_fallback: true, ...why("HTTP 500") }],
  ["failed a third time without a fall-back: it fails", { failures: 2 }, failed, {}, {
    status: "failed",
    failures: 3,
    ...why("HTTP 500"),
  }],
  [
    "failed at the fall-back: again after 30 s",
    { asks_fallback: true },
    {
      ...failed,
      answerer: "spare",
    },
    { fallback: true },
    {
      failures: 1,
      asks_fallback: true,
      wait: 30,
      error_message: "spare: HTTP 500",
    },
  ],
  [
    "failed a third time at the fall-back: it fails",
    { failures: 2, asks_fallback: true },
    {
      ...failed,
      answerer: "spare",
    },
    { fallback: true },
    {
      status: "failed",
      failures: 3,
      asks_fallback: true,
      error_message: "spare: HTTP 500",
    },
  ],

  ["unusable: to the fall-back at once", {}, unusable, { fallback: true }, {
    failures: 0,
    asks_fallback: true,
    ...why("HTTP 401"),
  }],
  ["unusable without a fall-back: it fails", {}, unusable, {}, {
    status: "failed",
    failures: 1,
    ...why("HTTP 401"),
  }],
  [
    "unusable at the fall-back: it fails",
    { asks_fallback: true },
    {
      ...unusable,
      answerer: "spare",
    },
    { fallback: true },
    {
      status: "failed",
      failures: 1,
      asks_fallback: true,
      error_message: "spare: HTTP 401",
    },
  ],
  [
    "unusable at a fall-back that stood in: again, the provider may be back by then",
    {},
    {
      ...unusable,
      answerer: "spare",
    },
    { fallback: true },
    { failures: 1, wait: 30, error_message: "spare: HTTP 401" },
  ],
  [
    "unusable a third time at a fall-back that stood in: it asks the fall-back",
    { failures: 2 },
    {
      ...unusable,
      answerer: "spare",
    },
    { fallback: true },
    { failures: 0, asks_fallback: true, error_message: "spare: HTTP 401" },
  ],
  [
    "unusable, and nobody was asked: to the fall-back",
    {},
    {
      outcome: "unusable",
      answerer: null,
      reason: "one: disabled",
    },
    { fallback: true },
    { failures: 0, asks_fallback: true, error_message: "one: disabled" },
  ],

  [
    "waiting: as long as it is told, without an attempt used",
    { attempts: 2 },
    {
      ...waiting,
      wait_seconds: 20,
    },
    { fallback: true },
    { attempts: 2, wait: 20, ...why("HTTP 429") },
  ],
  [
    "waiting for long: open_seconds at the most, the rest is the breaker's",
    {},
    {
      ...waiting,
      wait_seconds: 3_600,
    },
    {},
    { attempts: 0, wait: 60, ...why("HTTP 429") },
  ],
  ["waiting, and not told how long: open_seconds", {}, waiting, {}, {
    attempts: 0,
    wait: 60,
    ...why("HTTP 429"),
  }],
  ["waiting, until what waits fails", {}, waiting, { failsIn: 10 }, {
    attempts: 0,
    wait: 10,
    ...why("HTTP 429"),
  }],
  [
    "waiting for a provider that is down: until its breaker lets calls through",
    {},
    {
      ...waiting,
      wait_seconds: 3_600,
      provider_is_down: true,
    },
    {},
    { attempts: 0, ...why("HTTP 429") },
  ],
  ["waiting after six hours: it fails", {}, waiting, { fallback: true, failsIn: 0 }, {
    status: "failed",
    ...why("HTTP 429"),
  }],

  [
    "cut by the end of the run: free again, with what was said before",
    {
      failures: 1,
      error_message: "one: HTTP 500",
    },
    { outcome: "cut" },
    { fallback: true },
    { failures: 1, ...why("HTTP 500") },
  ],
  ["cut at the first call: free again", {}, { outcome: "cut" }, {}, { error_message: null }],
];

Deno.test("task_after(): what becomes of a task by a result that is no answer", async (test) => {
  await withDatabase(async ({ sql }) => {
    for (const [name, task, result, { fallback, failsIn = 21_600 }, expected] of cases) {
      await test.step(name, async () => {
        const [row] = await sql`
          select after.* from batches.task_after(
            jsonb_populate_record(null::batch_tasks, ${
          sql.json({
            provider: "one",
            status: "pending",
            attempts: 0,
            failures: 0,
            asks_fallback: false,
            run_after: after(-1).toISOString(),
            ...task,
          })
        }),
            jsonb_populate_record(null::batches.result, ${
          sql.json({ answerer: "one", ...result })
        }),
            ${fallback ?? false}, ${after(failsIn / 60)}, ${sql.json(settings)}, ${NOON}) as after`;
        const {
          status,
          attempts,
          failures,
          asks_fallback,
          run_after,
          error_message,
          completed_at,
        } = row!;
        assert.deepEqual({
          status,
          attempts,
          failures,
          asks_fallback,
          wait: run_after === null ? undefined : (run_after - NOON.getTime()) / 1000,
          error_message,
          completed_at,
        }, {
          status: expected.status ?? "pending",
          attempts: expected.attempts ?? (task.attempts ?? 0) + 1,
          failures: expected.failures ?? task.failures ?? 0,
          asks_fallback: expected.asks_fallback ?? false,
          wait: expected.wait,
          error_message: expected.error_message,
          completed_at: expected.status === "failed" ? NOON : null,
        });
      });
    }
  });
});
