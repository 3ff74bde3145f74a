// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  registerJob,
  untilAnswered,
} from "../support/faults.ts";
import { run, setSecret, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

Deno.test("a wrong secret in Vault: unauthorized, and completed once it is mended", () =>
  withStack({ cron: false }, async ({ sql, keys }) => {
    await registerJob(sql, "refused");
    await setSecret(sql, "cron_secret", "another-secret-of-more-than-32-characters");
    const id = await fire(sql, "refused");
    await untilAnswered(sql, id);
    await beat(sql);
    const first = await run(sql, id);
    assert.deepEqual([first.verdict, first.response_status], ["unauthorized", 401]);
    assert.equal(
      first.error_message,
      "Cannot serve the request: it carries no valid credential",
    );
    await setSecret(sql, "cron_secret", keys.cronSecret);
    await beatUntilIdle(sql);
    assert.deepEqual(await summary(sql, "refused"), [
      "failed cron 1 unauthorized",
      "completed retry 2 ok",
    ]);
    await assertAllRunsOver(sql);
  }));
