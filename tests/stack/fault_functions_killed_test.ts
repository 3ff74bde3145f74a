// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  passTime,
  registerJob,
  untilAnswered,
  untilStatus,
} from "../support/faults.ts";
import { summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

Deno.test("functions process killed", (test) =>
  withStack({ cron: false }, async ({ sql, functions }) => {
    await test.step("in the middle of a run: stalled, and its retry completes", async () => {
      await registerJob(sql, "killed", { payload: { behaviour: "wait" } });
      await registerJob(sql, "killed-once", { payload: { behaviour: "wait" }, max_attempts: 1 });
      const runs = [await fire(sql, "killed"), await fire(sql, "killed-once")];
      for (const run of runs) await untilStatus(sql, run, "running");
      await functions.kill();
      await functions.start();
      assert.equal((await beat(sql)).judged, 0, "its heartbeat is young: it may still be alive");
      await passTime(sql, 61);
      assert.equal((await beat(sql)).judged, 2);
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, "killed"), [
        "failed cron 1 stalled",
        "completed retry 2 ok",
      ]);
      assert.deepEqual(await summary(sql, "killed-once"), ["failed cron 1 stalled"]);
      await assertAllRunsOver(sql);
    });

    await test.step("before a run: boot_error, and its retry completes", async () => {
      await registerJob(sql, "too-early");
      await functions.kill();
      await untilAnswered(sql, await fire(sql, "too-early"));
      await beat(sql);
      assert.deepEqual(await summary(sql, "too-early"), [
        "failed cron 1 boot_error",
        "queued retry 2",
      ]);
      await functions.start();
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, "too-early"), [
        "failed cron 1 boot_error",
        "completed retry 2 ok",
      ]);
      await assertAllRunsOver(sql);
    });
  }));
