import { createClient } from "@supabase/supabase-js";
import assert from "node:assert/strict";
import type { Database } from "../../../shared/database.types.ts";
import { createLedger, type Ledger } from "../../../shared/job/ledger.ts";

const runId = "00000000-0000-4000-8000-000000000001";
const calls: [name: string, call: (ledger: Ledger) => Promise<unknown>][] = [
  ["registeredPayload()", (ledger) => ledger.registeredPayload("test-job", "test-job")],
  ["jobNames()", (ledger) => ledger.jobNames("test-job")],
  ["begin()", (ledger) => ledger.begin(runId, "test-job", "worker")],
  ["beginManual()", (ledger) => ledger.beginManual("test-job", null, {}, "worker")],
  ["beginDue()", (ledger) => ledger.beginDue("test-job", null, "worker")],
  ["heartbeat()", (ledger) => ledger.heartbeat(runId, null)],
  ["finish()", (ledger) => ledger.finish(runId, { outcome: "completed" })],
];

for (const [name, call] of calls) {
  Deno.test(`the ledger's ${name} is given up when the database does not answer in time`, async () => {
    // A database that takes the request and says nothing for as long as it is waited for.
    const silent: typeof fetch = (_input, init) =>
      new Promise((_resolve, reject) => {
        const signal = init?.signal ?? assert.fail("it would wait for ever");
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    const db = createClient<Database>("http://127.0.0.1:9", "k".repeat(40), {
      auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
      global: { fetch: silent },
    });
    await assert.rejects(call(createLedger(db, 20)), {
      name: "LedgerError",
      message: /tim(e|ed) ?out/i,
    });
  });
}

Deno.test("the ledger's finish() says from when on a deferred run may be resumed", async () => {
  const sent: unknown[] = [];
  const db = createClient<Database>("http://127.0.0.1:9", "k".repeat(40), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      fetch: (_input, init) => {
        sent.push(JSON.parse(String(init?.body)));
        return Promise.resolve(Response.json({ finished: true }));
      },
    },
  });
  const ledger = createLedger(db);
  const resumeAt = "2026-03-01T06:00:00.000Z";
  await ledger.finish(runId, { outcome: "deferred", resumeAt, result: { done: 7 } });
  await ledger.finish(runId, { outcome: "completed" });
  assert.deepEqual(sent, [
    { p_run_id: runId, p_outcome: "deferred", p_resume_at: resumeAt, p_result: { done: 7 } },
    { p_run_id: runId, p_outcome: "completed" },
  ]);
});
