// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { assertExact } from "../support/device-metrics.ts";
import { type Stack, withStack } from "../support/stack.ts";

/** Calls the job as a person does. */
async function call({ apiUrl, keys }: Stack, body: unknown, jobName?: string) {
  const response = await fetch(`${apiUrl}/functions/v1/aggregate-device-metrics`, {
    method: "POST",
    headers: {
      "x-cron-secret": keys.cronSecret,
      "x-manual-call": "true",
      ...(jobName ? { "x-job-name": jobName } : {}),
    },
    body: JSON.stringify(body),
  });
  return { status: response.status, answer: await response.json() };
}

Deno.test("aggregate-device-metrics through the whole stack", async (test) => {
  await withStack({ cron: false, seed: true }, async (stack) => {
    const { sql } = stack;

    await test.step("the daily job finds hours and days in the demo data, and they are exact", async () => {
      const { status, answer } = await call(
        stack,
        { granularity: "day" },
        "aggregate-device-metrics-daily",
      );
      assert.equal(status, 200, JSON.stringify(answer));
      assert.equal(answer.job, "aggregate-device-metrics-daily");
      const { summary, hours, days, stopped } = answer.result;
      assert.match(
        summary,
        /^\d+ hours, \d days?, [\d,]+ device rows, caught up to (\S+ )?\d\d:00$/,
      );
      assert.ok(hours >= 40 && days >= 1 && stopped === "done");
      await assertExact(sql);
      const [run] = await sql`select progress, result ->> 'summary' as summary
        from public.scheduler_runs where id = ${answer.run_id}`;
      assert.equal(run!.summary, summary);
      assert.equal(run!.progress.daysLeft, 0);
    });

    await test.step("a range is recomputed", async () => {
      const to = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000);
      const from = new Date(to.getTime() - 5 * 3_600_000);
      await sql`update public.device_metrics_summary set activity_events = 0
        where granularity = 'hour' and period_start >= ${from} and period_start < ${to}`;
      const { status, answer } = await call(stack, { from, to });
      assert.equal(status, 200, JSON.stringify(answer));
      assert.equal(answer.result.hours, 5);
      await assertExact(sql);
    });

    await test.step("a range that makes no sense is refused before a run begins", async () => {
      const runs = () =>
        sql`select count(*)::int as runs from public.scheduler_runs`.then((rows) => rows[0]!.runs);
      const before = await runs();
      const range = { from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z" };
      const { status, answer } = await call(stack, range);
      assert.deepEqual([status, answer.error.code], [400, "invalid_input"]);
      assert.match(answer.error.message, /from: must be before to/);
      assert.equal(await runs(), before);
    });

    await test.step("a range before all data fails in words", async () => {
      const range = { from: "2019-03-01T00:00:00Z", to: "2019-03-02T00:00:00Z" };
      const { status, answer } = await call(stack, range);
      assert.equal(status, 500);
      assert.match(answer.error.message, /from must not be before 2020-01-01/);
    });
  });
});
