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

Deno.test("functions stopped by SIGTERM: what runs is interrupted, and its retry completes", () =>
  withStack({ cron: false }, async ({ sql, functions }) => {
    const jobs = ["obeys", "does-not-listen"];
    await registerJob(sql, "obeys", { payload: { behaviour: "wait" } });
    await registerJob(sql, "does-not-listen", { payload: { behaviour: "ignore-signal" } });
    const runs = await Promise.all(jobs.map((job) => fire(sql, job)));
    for (const id of runs) await untilStatus(sql, id, "running");
    await functions.stop();
    for (const id of runs) {
      const row = await run(sql, id);
      assert.equal(row.verdict, "interrupted");
      assert.match(row.error_message, /shut(ting)? down: termination/);
      assert.deepEqual(row.progress, { attempt: 1 });
    }
    await functions.start();
    await beatUntilIdle(sql);
    for (const job of jobs) {
      assert.deepEqual(await summary(sql, job), [
        "failed cron 1 interrupted",
        "completed retry 2 ok",
      ]);
    }
    await assertAllRunsOver(sql);
  }));
