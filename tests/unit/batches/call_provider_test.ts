import assert from "node:assert/strict";
import {
  createProviders,
  type Outcome,
} from "../../../supabase/functions/robust-batch-processor/call-provider.ts";
import { type Reply, withHttpServer } from "../../support/http-server.ts";
import { jobContext } from "../../support/job-context.ts";

const now = new Date("2026-03-02T12:00:00Z");
const provider = {
  model: "m",
  api_url_variable: "LOCAL_MODEL_API_URL",
  api_key_variable: "LOCAL_MODEL_API_KEY",
  concurrency: 1,
  max_completion_tokens: 10,
  half_open: false,
};

/** What comes of a call of a provider that answers one reply after the other, the last one for ever. */
async function call(...replies: Reply[]): Promise<{ outcome: Outcome; calls: number }> {
  let outcome!: Outcome;
  let calls = 0;
  await withHttpServer(() => replies[Math.min(calls++, replies.length - 1)]!, async ({ url }) => {
    const env = { LOCAL_MODEL_API_URL: url, LOCAL_MODEL_API_KEY: "sk-test-key-1" };
    outcome = await createProviders(jobContext({ now, env })).call(
      { id: 1, answerer: "one", prompt: "?" },
      provider,
      { timeoutMs: 5_000, leftMs: 10_000, signal: new AbortController().signal },
    );
  });
  return { outcome, calls };
}

const told = (status: number, retryAfter?: string): Reply => ({
  status,
  headers: retryAfter === undefined ? {} : { "retry-after": retryAfter },
});

for (const status of [429, 503]) {
  Deno.test(`a long Retry-After of a ${status} is handed on, to the second`, async () => {
    for (
      const after of ["600", "Mon, 02 Mar 2026 12:10:00 GMT", "Monday, 02-Mar-26 12:10:00 GMT"]
    ) {
      assert.deepEqual(await call(told(status, after)), {
        outcome: {
          outcome: "waiting",
          reason: `HTTP ${status}`,
          ...(status === 503 ? { provider_is_down: true } : {}),
          wait_seconds: 600,
        },
        calls: 1,
      });
    }
  });

  Deno.test(`a short Retry-After of a ${status} is waited for on the spot`, async () => {
    const startedAt = performance.now();
    const answer = JSON.stringify({ choices: [{ message: { content: "yes" } }] });
    const { outcome, calls } = await call(told(status, "1"), { status: 200, body: answer });
    assert.deepEqual([outcome.outcome, calls], ["answered", 2]);
    assert.ok(performance.now() - startedAt >= 950);
  });
}

Deno.test("a 429 without Retry-After waits, a 503 without it has failed", async () => {
  for (const after of [undefined, "soon"]) {
    assert.deepEqual(await call(told(429, after)), {
      outcome: { outcome: "waiting", reason: "HTTP 429" },
      calls: 4,
    });
    assert.deepEqual(await call(told(503, after)), {
      outcome: { outcome: "failed", reason: "HTTP 503" },
      calls: 4,
    });
  }
});
