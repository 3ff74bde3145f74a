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

Deno.test("a function whose module does not load: boot_error, and completed once it does", () =>
  withDeployments((functionsDirectories, deploy) =>
    withStack({ cron: false, functionsDirectories }, async ({ sql }) => {
      await deploy("unfinished", 'import "./missing.ts";');
      await registerJob(sql, "unfinished", { target: "unfinished" });
      const id = await fire(sql, "unfinished");
      await untilAnswered(sql, id);
      await beat(sql);
      const first = await run(sql, id);
      assert.deepEqual([first.verdict, first.response_status], ["boot_error", 503]);
      await deploy("unfinished");
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, "unfinished"), [
        "failed cron 1 boot_error",
        "completed retry 2 ok",
      ]);
      await assertAllRunsOver(sql);
    })
  ));
