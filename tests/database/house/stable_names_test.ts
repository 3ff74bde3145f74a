import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import * as t from "../../support/scheduler.ts";

/** What docs/upgrading.md promises to keep in every 0.x; nothing is ever taken off these lists. */
const columns: Record<string, string[]> = {
  scheduler_runs: ["function_name", "status", "error_message", "started_at", "completed_at"],
  scheduler_state: ["last_daily_run_key"],
  batch_jobs: ["status", "last_heartbeat"],
  eliza_activity_log: ["source", "message", "severity", "details", "occurred_at"],
};
const calls = ["try_mark_daily_run(p_today_key text)", "resume_stuck_batch_job(p_job_id uuid)"];
const sentHeaders = ["x-cron-secret", "x-run-id", "x-job-name", "x-attempt"];
const metrics = [
  "xmrt_devices_total",
  "xmrt_devices_active",
  "xmrt_charging_sessions_total",
  "xmrt_charging_efficiency_avg",
  "xmrt_pop_events_total",
  "xmrt_pop_events_validated",
  "xmrt_pop_events_rejected",
  "xmrt_pop_points_total",
  "xmrt_commands_total",
  "xmrt_commands_by_status",
  "xmrt_metrics_age_seconds",
];

Deno.test("tables, views and columns that people's own SQL names are there", () =>
  withDatabase(async ({ sql }) => {
    for (const [table, names] of Object.entries(columns)) {
      // Raises where the table or one of its columns is gone.
      await sql`select ${sql(names)} from ${sql(`public.${table}`)} limit 0`;
    }
  }));

Deno.test("a line that is inserted into eliza_activity_log can be read there", () =>
  withDatabase(async ({ connect }) => {
    const service = connect("service_role");
    await service`insert into eliza_activity_log (source, message) values ('mine', 'it rained')`;
    const rows = await service`
      select message, severity from eliza_activity_log where source = 'mine'`;
    assert.deepEqual([...rows], [{ message: "it rained", severity: "info" }]);
  }));

Deno.test("functions that clients call answer by the same names", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    const [mark] = await service`select try_mark_daily_run(p_today_key => '2026-03-02') as answer`;
    assert.deepEqual(mark!.answer, {
      updated: true,
      previous_key: null,
      new_key: "2026-03-02",
    });
    await sql`insert into organizations (name) values ('Acme')`;
    await sql`
      insert into batch_jobs (organization_id, batch_date, time_zone, status, completed_at)
      select id, '2026-03-02', 'UTC', 'completed', now() from organizations`;
    const [resumed] = await service`
      select id, resume_stuck_batch_job(p_job_id => id) as answer from batch_jobs`;
    const { job_id, action, status } = resumed!.answer;
    assert.deepEqual([job_id, action, status], [resumed!.id, "over", "completed"]);
  }));

t.ledgerTest("a dispatched request has the headers that functions read", async ({ sql }) => {
  await t.register(sql, "job");
  await t.dispatch(sql, "job");
  const [request] = await t.requests(sql);
  for (const header of sentHeaders) assert.ok(header in request!.headers, header);
});

Deno.test("the metrics that dashboards show are there", () =>
  withDatabase(async ({ sql }) => {
    const rows = await sql`select family from scheduler.metric_families where family like 'xmrt_%'`;
    const there = rows.map(({ family }) => family);
    assert.deepEqual(metrics.filter((name) => !there.includes(name)), []);
  }));

Deno.test("docs/upgrading.md promises these names and no others", async () => {
  const page = await Deno.readTextFile(new URL("../../../docs/upgrading.md", import.meta.url));
  const promise = page.split("\n## What stays\n")[1]!;
  // What begins with a brace is an answer.
  const promised = [...promise.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
    .filter((name) => !name.startsWith("{"));
  const kept = [
    ...Object.keys(columns),
    ...Object.values(columns).flat(),
    ...calls,
    ...sentHeaders,
    // tests/unit/shared/authenticate_test.ts holds this one.
    "x-manual-call",
    "true",
    ...metrics,
  ];
  assert.deepEqual([...new Set(promised)].sort(), [...new Set(kept)].sort());
});
