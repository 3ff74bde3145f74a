// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  passTime,
  readLog,
  registerJob,
  untilAnswered,
} from "../support/faults.ts";
import { run, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

Deno.test("a response that never comes: lost, its retry completes, and the late first attempt is refused", () =>
  withStack({ cron: false }, async (stack) => {
    const { sql } = stack;
    // Shorter than the first attempt, which never answers; longer than the second on a busy machine.
    await sql`update scheduler_settings set value = '3000' where key = 'scheduler.request_timeout_ms'`;
    await registerJob(sql, "mute", { target: "mute" });
    const id = await fire(sql, "mute");
    const answer = await untilAnswered(sql, id);
    assert.equal(answer.timed_out, true);
    await beat(sql);
    assert.equal((await run(sql, id)).status, "dispatched", "a timeout of pg_net proves nothing");
    await passTime(sql, 61);
    await beatUntilIdle(sql);
    const log = await waitUntil("the first attempt to wake up", async () => {
      const text = await readLog(stack);
      return text.includes("mute answered attempt 1") && text;
    });
    assert.match(log, /mute answered attempt 2: 202/);
    assert.match(log, /mute answered attempt 1: 409/);
    assert.equal(log.match(/"message":"begun"/g)?.length, 1);
    assert.deepEqual(await summary(sql, "mute"), ["failed cron 1 lost", "completed retry 2 ok"]);
    await assertAllRunsOver(sql);
  }));
