import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../support/scheduler.ts";

const DAY = 24 * 60;

async function insertRuns(
  sql: Sql,
  status: string,
  verdict: string,
  ageMinutes: number,
  count = 1,
) {
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict)
    select 'old', ${status}, 'manual', ${t.NOON}, ${t.after(-ageMinutes)}, ${verdict}
    from generate_series(1, ${count}::int)`;
}

t.ledgerTest("prune keeps failures longer than successes, in both logs", async ({ sql, admin }) => {
  for (
    const [status, verdict, days] of [
      ["completed", "ok", 14],
      ["skipped", "skipped", 14],
      ["failed", "lost", 90],
      ["missed", "missed", 90],
      ["cancelled", "cancelled", 90],
    ] as const
  ) {
    await insertRuns(sql, status, verdict, days * DAY + 1);
    await insertRuns(sql, status, verdict, days * DAY - 1);
  }
  await admin`
    insert into cron.job_run_details (runid, username, status, start_time, end_time)
    select row_number() over (), 'postgres', status, ${t.NOON}::timestamptz - age, ${t.NOON}::timestamptz - age
    from (values ('succeeded', interval '3 days 1 minute'), ('succeeded', interval '2 days 23 hours'),
      ('failed', interval '7 days 1 minute'), ('failed', interval '6 days')) as details (status, age)`;
  assert.equal(await t.value(sql, "scheduler.prune($1)", [t.NOON]), 7);
  const left = (await t.runs(sql, "old")).map((row) => row.status).sort();
  assert.deepEqual(left, ["cancelled", "completed", "failed", "missed", "skipped"]);
  const details = await sql`select runid::int from cron.job_run_details order by runid`;
  assert.deepEqual(details.map((row) => row.runid), [2, 4]);
});

t.ledgerTest("prune takes a bounded number at a time and never what is alive", async ({ sql }) => {
  await insertRuns(sql, "completed", "ok", 100 * DAY, 25);
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, created_at)
    select 'old', status, 'manual', ${t.after(-200 * DAY)}, ${t.after(-200 * DAY)}
    from unnest(array['queued', 'dispatched', 'running']) as status`;
  const pruned = [];
  for (let call = 0; call < 4; call++) {
    pruned.push(await t.value(sql, "scheduler.prune($1, 10)", [t.NOON]));
  }
  assert.deepEqual(pruned, [10, 10, 5, 0]);
  assert.equal((await t.runs(sql, "old")).length, 3);
});

t.ledgerTest("the pulse prunes hourly, and again at once while there is more", async ({ sql }) => {
  await insertRuns(sql, "completed", "ok", 100 * DAY, 5001);
  assert.equal((await t.pulse(sql, t.NOON)).pruned, 5000);
  assert.equal((await t.pulse(sql, t.after(1))).pruned, 1);
  assert.equal((await t.pulse(sql, t.after(60))).pruned, undefined);
  assert.equal((await t.pulse(sql, t.after(61))).pruned, 0);
});
