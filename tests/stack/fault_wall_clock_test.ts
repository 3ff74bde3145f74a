// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beatUntilIdle,
  fire,
  registerJob,
  untilStatus,
} from "../support/faults.ts";
import { run, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

Deno.test("a worker recycled at its wall clock: interrupted, and the retry completes in a new worker", () =>
  withStack({ cron: false, env: { WALL_CLOCK_LIMIT_SECONDS: "4" } }, async ({ sql }) => {
    await registerJob(sql, "endless", { payload: { behaviour: "ignore-signal" } });
    await registerJob(sql, "in-time", { payload: { workMs: 1000 } });
    const endless = await fire(sql, "endless");
    // Begun in the same worker, which takes no more requests after two seconds, but lets this one end.
    const inTime = await fire(sql, "in-time");
    await untilStatus(sql, endless, "failed");
    assert.equal((await run(sql, endless)).error_message, "the platform shut down: wall_clock");
    await untilStatus(sql, inTime, "completed");
    await beatUntilIdle(sql);
    assert.deepEqual(await summary(sql, "endless"), [
      "failed cron 1 interrupted",
      "completed retry 2 ok",
    ]);
    await assertAllRunsOver(sql);
  }));
