import assert from "node:assert/strict";
import { assertAllRunsOver, beatUntilIdle, registerJob } from "../support/faults.ts";
import { runs } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

Deno.test("pg_cron and three calls of an outside clock for one occurrence: one run", () =>
  withStack({ cron: false }, async ({ apiUrl, sql, keys }) => {
    await registerJob(sql, "fickle", { schedule: "0 * * * *" });
    const clock = async () => {
      const response = await fetch(`${apiUrl}/functions/v1/fickle`, {
        method: "POST",
        headers: { authorization: `Bearer ${keys.cronSecret}` },
      });
      return { status: response.status, body: await response.json() };
    };
    const early = await clock();
    assert.deepEqual([early.status, early.body.status, early.body.run_id], [200, "already", null]);

    await sql`
      update scheduler_jobs set next_run_at = date_trunc('hour', now()) where name = 'fickle'`;
    const [, ...told] = await Promise.all([
      sql`select scheduler.dispatch('fickle')`,
      clock(),
      clock(),
      clock(),
    ]);
    await beatUntilIdle(sql);
    const [run, ...more] = await runs(sql, "fickle");
    assert.deepEqual([run!.status, run!.verdict, more], ["completed", "ok", []]);
    for (const { status, body } of told) {
      assert.deepEqual([status, body.run_id], [200, run!.id]);
      assert.ok(["completed", "already"].includes(body.status), body.status);
    }
    // Either pg_cron's request has begun it, and has its answer, or one of the clocks.
    const began = told.filter(({ body }) => body.status === "completed").length;
    assert.equal(began, run!.request_id === null ? 1 : 0);
    await assertAllRunsOver(sql);
  }));
