// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { assertAllRunsOver, beatUntilIdle, fire } from "../support/faults.ts";
import { run } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

const SHIPPED = [
  "aggregate-device-metrics",
  "aggregate-device-metrics-daily",
  "batch-reconciler",
  "daily-batch-trigger",
  "daily-batch-trigger-zones",
  "code-monitor-daemon",
  "execute-scheduled-actions",
  "monitor-device-connections",
  "ecosystem-monitor",
  "api-key-health-monitor",
  "prune-old-rows",
  "system-health",
  "weekly-suggestions",
];

/** Makes the job due, or, where it might say itself that there is nothing to do, runs it by hand. */
async function start(sql: Sql, job: string): Promise<string> {
  const [row] = await sql`
    select case when run_if is not null then scheduler.run_now(name, 'ann') end as run
    from scheduler_jobs where name = ${job}`;
  return row!.run ?? await fire(sql, job);
}

/** Each job once, by the path that pg_cron takes; what each found, in words. */
async function runAll(sql: Sql, jobs: string[]): Promise<Record<string, string>> {
  const summaries: Record<string, string> = {};
  for (const job of jobs) {
    const id = await start(sql, job);
    await beatUntilIdle(sql, 60_000);
    const row = await run(sql, id);
    assert.deepEqual([row.status, row.verdict, row.attempt], ["completed", "ok", 1], `${job}`);
    assert.equal(typeof row.result.summary, "string");
    assert.notEqual(row.result.summary, "");
    summaries[job] = row.result.summary;
  }
  return summaries;
}

Deno.test("the real jobs run through dispatch on seeded data, and running again changes no metric", () =>
  withStack({ cron: false, seed: true }, async ({ sql }) => {
    // What has no schedule is run by those that enqueue it, and `beatUntilIdle` waits for that.
    const registered = await sql`
      select name from scheduler_jobs where enabled and schedule is not null order by name`;
    const jobs: string[] = registered.map((row) => row.name);
    for (const job of SHIPPED) assert.ok(jobs.includes(job), job);
    // The hour that is still going on may change between the two.
    const [{ now }] = await sql`select date_trunc('hour', now()) as now` as unknown as [
      { now: Date },
    ];
    const metrics = async () => [
      ...await sql`
        select *, xmin::text from device_metrics_summary
        where period_start < case granularity when 'day' then date_trunc('day', ${now}::timestamptz, 'UTC') else ${now} end
        order by granularity, period_start, device_key`,
    ];
    const found = await runAll(sql, jobs);
    assert.match(found["aggregate-device-metrics"] ?? "", /hour/);
    assert.match(
      found["code-monitor-daemon"] ?? "",
      /^9 failures, 3 causes, 3 new, no fixes asked, no model is configured/,
    );
    assert.match(found["monitor-device-connections"] ?? "", /1 session ended/);
    // Commands that expired since belong to the figures of hours long past.
    await runAll(sql, jobs.filter((job) => job.startsWith("aggregate-device-metrics")));
    const first = await metrics();
    assert.ok(first.some((row) => row.granularity === "hour"));
    assert.ok(first.some((row) => row.granularity === "day"));
    assert.ok(first.some((row) => row.device_id === null), "there are rows for the fleet");

    await runAll(sql, jobs);
    assert.deepEqual(await metrics(), first, "not even written again");
    const [health] = await sql`select count(*)::int as count from scheduler_health_history`;
    assert.equal(health!.count, 2);
    await assertAllRunsOver(sql);
  }));
