import assert from "node:assert/strict";
import {
  trigger,
  type TriggerContext,
} from "../../../supabase/functions/daily-batch-trigger/trigger.ts";

/** A database with the settings as shipped, which answers the call with this. */
function answering(data: unknown): TriggerContext["db"] {
  const settings = [
    { key: "daily_batch.time_zone", value: "America/New_York" },
    { key: "daily_batch.run_at", value: "03:00" },
    { key: "daily_batch.window_hours", value: 3 },
  ];
  const later = (value: unknown) => ({ abortSignal: () => Promise.resolve(value) });
  return {
    from: () => ({ select: () => ({ in: () => later({ data: settings, error: null }) }) }),
    rpc: () => later({ data, error: null, status: 200 }),
  } as unknown as TriggerContext["db"];
}

const run = (data: unknown) =>
  trigger({ force: false, manual_test: false, zones: true }, {
    db: answering(data),
    runId: crypto.randomUUID(),
    signal: new AbortController().signal,
    now: () => new Date("2026-03-02T08:00:00Z"),
    log: { info() {}, warn() {}, error() {} } as unknown as TriggerContext["log"],
  });

Deno.test("trigger() names organizations that could not be begun, as an error", async () => {
  const problems = [
    { id: "1", name: "Acme", error: 'time zone "Nowhere/City" not recognized' },
    { id: "2", name: "Other", error: "interval out of range" },
  ];
  const result = await run({ outcome: "started", batches: 3, tasks: 6, problems });
  assert.equal(
    result.summary,
    "3 batches begun (organizations with their own zone or hour), 6 tasks; 2 organizations could not be begun, " +
      'of them Acme: time zone "Nowhere/City" not recognized',
  );
  assert.deepEqual([result.notable, result.problems], ["error", problems]);
});

Deno.test("trigger() has no problems when all were begun", async () => {
  const result = await run({ outcome: "started", batches: 3, tasks: 6 });
  assert.equal(result.notable, "info");
  assert.ok(!("problems" in result));
});
