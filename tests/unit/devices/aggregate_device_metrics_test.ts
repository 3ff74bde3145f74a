import assert from "node:assert/strict";
import {
  aggregate,
  type AggregateContext,
} from "../../../supabase/functions/aggregate-device-metrics/aggregate.ts";
import { input } from "../../../supabase/functions/aggregate-device-metrics/input.ts";
import {
  createSteps,
  type Steps,
  StepTimeoutError,
} from "../../../supabase/functions/aggregate-device-metrics/steps.ts";
import { PermanentError } from "../../../shared/job/errors.ts";

const caughtUpTo = "2026-03-02T13:00:00Z";

/** A job's world in which a step takes `stepMs` for each of its hours. */
function world(pending: number, msAnHour: number, limitMs = Infinity) {
  let clock = Date.parse("2026-03-02T13:05:00Z");
  const asked: number[] = [];
  const context: AggregateContext = {
    log: { info() {}, warn() {}, error() {} },
    signal: new AbortController().signal,
    now: () => new Date(clock),
    remainingMs: () => 1_000_000,
    reportProgress() {},
  };
  const steps: Steps = {
    begin: () =>
      Promise.resolve({ pending_hours: pending, pending_days: 0, notes_left: 0, odd_times: 0 }),
    recompute: () => Promise.reject(new Error("not asked for")),
    hours: (maximum) => {
      asked.push(maximum);
      const hours = Math.min(maximum, pending);
      if (hours * msAnHour > limitMs) throw new StepTimeoutError("timed out");
      clock += hours * msAnHour;
      pending -= hours;
      return Promise.resolve({
        hours,
        from: null,
        to: null,
        device_rows: hours * 100,
        rows_written: hours * 101,
        hours_left: pending,
        caught_up_to: caughtUpTo,
      });
    },
    days: () => Promise.resolve({ days: 0, device_rows: 0, rows_written: 0, days_left: 0 }),
  };
  return { context, steps, asked };
}

Deno.test("aggregate() takes more hours at once while steps are quick", async () => {
  const { context, steps, asked } = world(200, 1);
  const result = await aggregate(input.parse({}), context, steps);
  assert.deepEqual(asked, [6, 12, 24, 48, 96, 96]);
  assert.equal(result.summary, "200 hours, 20,000 device rows, caught up to 13:00");
});

Deno.test("aggregate() takes fewer hours at once when steps are slow", async () => {
  const { context, steps, asked } = world(14, 1_000);
  await aggregate(input.parse({}), context, steps);
  assert.deepEqual(asked, [6, 3, 3, 3]);
});

Deno.test("aggregate() goes on with fewer hours after a statement timeout, down to one", async () => {
  const { context, steps, asked } = world(8, 20_000, 60_000);
  const result = await aggregate(input.parse({}), context, steps);
  assert.deepEqual(asked, [6, 1, 1, 1, 1, 1, 1, 1, 1]);
  assert.equal(result.hoursLeft, 0);
});

Deno.test("aggregate() fails when a single hour does not fit in a statement", async () => {
  const { context, steps } = world(8, 70_000, 60_000);
  await assert.rejects(aggregate(input.parse({}), context, steps), StepTimeoutError);
});

Deno.test("aggregate() reports its earlier steps when its signal cuts a step short", async () => {
  const { context, steps } = world(100, 1);
  const stop = new AbortController();
  const hours = steps.hours;
  let calls = 0;
  steps.hours = (maximum) => {
    if (++calls < 3) return hours(maximum);
    stop.abort();
    return Promise.reject(new DOMException("aborted", "AbortError"));
  };
  const result = await aggregate(input.parse({}), { ...context, signal: stop.signal }, steps);
  assert.deepEqual([result.hours, result.hoursLeft, result.stopped], [18, 82, "time"]);
  assert.equal(
    result.summary,
    "18 hours, 1,800 device rows, caught up to 13:00, 82 hours left, stopped for want of time",
  );
});

Deno.test("aggregate() fails when its signal cuts the very first step short", async () => {
  const { context, steps } = world(100, 1);
  steps.begin = () => Promise.reject(new DOMException("aborted", "AbortError"));
  const signal = AbortSignal.abort();
  await assert.rejects(aggregate(input.parse({}), { ...context, signal }, steps), /aborted/);
});

Deno.test("createSteps() tells timeouts and refused arguments from other errors", async () => {
  const failing = (code: string) => {
    const answer = { data: null, error: { code, message: "because" } };
    const db = { rpc: () => ({ abortSignal: () => Promise.resolve(answer) }) };
    // deno-lint-ignore no-explicit-any
    return createSteps({ db: db as any, signal: new AbortController().signal });
  };
  const message = "Cannot aggregate device metrics (hours): because";
  await assert.rejects(failing("57014").hours(1), { name: "StepTimeoutError", message });
  await assert.rejects(failing("22023").hours(1), PermanentError);
  await assert.rejects(failing("XX000").hours(1), { name: "Error", message });
});
