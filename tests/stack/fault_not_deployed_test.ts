// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  registerJob,
  untilAnswered,
  withDeployments,
} from "../support/faults.ts";
import { run, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

Deno.test("a function that is not deployed: not_found, and completed once it is", () =>
  withDeployments((functionsDirectories, deploy) =>
    withStack({ cron: false, functionsDirectories }, async ({ sql }) => {
      await registerJob(sql, "late", { target: "late" });
      const id = await fire(sql, "late");
      await untilAnswered(sql, id);
      await beat(sql);
      const first = await run(sql, id);
      assert.deepEqual([first.verdict, first.response_status], ["not_found", 404]);
      await deploy("late");
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, "late"), [
        "failed cron 1 not_found",
        "completed retry 2 ok",
      ]);

      await registerJob(sql, "never", { target: "never" });
      await fire(sql, "never");
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, "never"), [
        "failed cron 1 not_found",
        "failed retry 2 not_found",
        "failed retry 3 not_found",
      ]);
      await assertAllRunsOver(sql);
    })
  ));
