import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "with a parallel limit an occurrence waits while as many runs are under way",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "allow", parallel_limit: 1 });
    const first = await t.dispatch(sql, "job");
    await t.dispatch(sql, "job", t.after(1));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1", "queued cron 1"]);
    assert.match(
      await t.value(sql, "scheduler.explain('job', $1, $1)", [t.after(1)]),
      /waits for the run under way to end\.$/,
    );
    await t.begin(sql, first!, t.after(1));
    await t.finish(sql, first!, "completed", t.after(1.5));
    assert.deepEqual(await t.summary(sql, "job"), ["completed cron 1 ok", "dispatched cron 1"]);
  },
);

t.ledgerTest("a parallel limit is for jobs whose runs may overlap", async ({ sql }) => {
  const error = await refusal(
    sql`select scheduler.register_job('job', '* * * * *', parallel_limit => 3)`,
  );
  assert.deepEqual([error.code, error.message], [
    "22023",
    "cannot register the job job: parallel_limit needs overlap_policy => 'allow', got 'skip'",
  ]);
});
