import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  passTime,
  readLog,
  registerJob,
  untilStatus,
} from "../support/faults.ts";
import { run, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

Deno.test("a job that ignores its deadline", (test) =>
  withStack({ cron: false }, async (stack) => {
    const { sql } = stack;
    const payload = { behaviour: "ignore-signal" };

    await test.step("is timed out by its own function, and its retry completes", async () => {
      await registerJob(sql, "endless", { payload, timeout_seconds: 1 });
      const id = await fire(sql, "endless");
      await untilStatus(sql, id, "failed");
      assert.equal(
        (await run(sql, id)).error_message,
        "the job was still at work at its deadline",
      );
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, "endless"), [
        "failed cron 1 timed_out",
        "completed retry 2 ok",
      ]);
      await assertAllRunsOver(sql);
    });

    await test.step("is timed out by the pulse where the function does not; its late receipt changes nothing", async () => {
      await registerJob(sql, "judged", { payload, timeout_seconds: 1 });
      const id = await fire(sql, "judged");
      await untilStatus(sql, id, "running");
      await passTime(sql, 17);
      await beat(sql);
      const judged = await run(sql, id);
      assert.equal(judged.verdict, "timed_out");
      await beatUntilIdle(sql);
      await waitUntil("the function's own receipt", async () =>
        (await readLog(stack)).includes("the receipt was refused"));
      const { answered_at: _1, response_status: _2, ...after } = await run(sql, id);
      const { answered_at: _3, response_status: _4, ...before } = judged;
      assert.deepEqual(after, before);
      assert.deepEqual(await summary(sql, "judged"), [
        "failed cron 1 timed_out",
        "completed retry 2 ok",
      ]);
      await assertAllRunsOver(sql);
    });
  }));
