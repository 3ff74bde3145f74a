import assert from "node:assert/strict";
import type { Reading } from "../../supabase/functions/prometheus-metrics/reading.ts";
import { serveMetrics } from "../../supabase/functions/prometheus-metrics/serve.ts";
import { FakePlatform } from "../support/fake-platform.ts";
import { type Reply, withHttpServer } from "../support/http-server.ts";
import { checkMetrics, hasPromtool } from "../support/promtool.ts";

const cronSecret = "c".repeat(32);
const serviceKey = "k".repeat(40);
const token = "the-token-of-the-scraper-0123456789";
const bearer = { authorization: `Bearer ${token}` };

const zeros = (length: number) => Array.from({ length }, () => 0);
const reading: Reading = {
  scheduler: {
    duration_bounds_ms: [100, 500],
    fire_lag_bounds_ms: [1000],
    locks_open: 2,
    pulse_age_seconds: 12.5,
    pulse_errors: 0,
    jobs: [
      [
        ...["nightly", true, false, 0, 3600.25, 7, 2, 3, 1, 0, 1, 2, 0, 0] as const,
        { paused: 2, misfire_once: 1 },
        ...[[4, 2, 1], 5250, [6, 1], 2400] as [number[], number, number[], number],
      ],
      [
        ...["new", true, true, 0, null, 0, 0, 0, 0, 0, 0, 0, 0, 0] as const,
        {},
        ...[zeros(3), 0, zeros(2), 0] as [number[], number, number[], number],
      ],
    ],
  },
  fleet: {
    devices: 20,
    active_devices: 4,
    charging_sessions: 100,
    charging_efficiency_percent: null,
    pop_events: 50,
    pop_events_validated: 40,
    pop_events_rejected: 5,
    pop_points: 123.4567,
    commands: 30,
    commands_by_status: { failed: 3 },
    summarized_age_seconds: 60,
  },
  platform: {
    actions_waiting: 8,
    actions_overdue_seconds: 30,
    occurrences_by_status: { dead: 2 },
    api_keys: [["github", "default", "expiring", 86400], [
      "openai",
      "default",
      "not_configured",
      null,
    ]],
    open_code_failure_causes: 3,
    pending_code_fix_proposals: 1,
  },
  batches: {
    not_begun_seconds: 600.5,
    open: 2,
    oldest_open_seconds: 7200,
    tasks_by_status: { completed: 90, failed: 10 },
    failures_in_row: { openai: 5, deepseek: 0 },
  },
};

const answers: Reply = {
  status: 200,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(reading),
};

/** Calls the handler where a server answers in the place of PostgREST. */
async function scrape(
  init: RequestInit = { headers: bearer },
  options: { reply?: Reply; variables?: Record<string, string> } = {},
) {
  let result: { response: Response; text: string; lines: string[]; asked: string[] } | undefined;
  await withHttpServer(() => options.reply ?? answers, async (server) => {
    const variables = {
      CRON_SECRET: cronSecret,
      METRICS_TOKEN: token,
      SUPABASE_URL: server.url,
      SUPABASE_SERVICE_ROLE_KEY: serviceKey,
      ...options.variables,
    };
    // An empty variable is one that is not set, as on the platform.
    const platform = new FakePlatform(
      Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== "")),
    );
    const request = new Request("http://127.0.0.1/functions/v1/prometheus-metrics", init);
    const response = await serveMetrics(platform)(request);
    result = {
      response,
      text: await response.text(),
      lines: platform.lines,
      asked: server.requests.map(({ method, url }) => `${method} ${url}`),
    };
  });
  return result!;
}

Deno.test("a scrape is one round trip to the database and answers text of version 0.0.4", async () => {
  const { response, text, asked } = await scrape();
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assert.deepEqual(asked, ["POST /rest/v1/rpc/prometheus_metrics"]);
  const lines = text.split("\n");
  for (
    const line of [
      "# TYPE scheduler_runs_total counter",
      'scheduler_runs_total{job_name="nightly",status="completed"} 7',
      'scheduler_runs_total{job_name="nightly",status="failed"} 2',
      'scheduler_runs_total{job_name="nightly",status="skipped"} 3',
      'scheduler_runs_total{job_name="nightly",status="missed"} 1',
      'scheduler_runs_total{job_name="new",status="cancelled"} 0',
      'scheduler_run_duration_seconds_bucket{job_name="nightly",le="0.5"} 6',
      'scheduler_run_duration_seconds_sum{job_name="nightly"} 5.25',
      'scheduler_fire_lag_seconds_bucket{job_name="nightly",le="+Inf"} 7',
      'scheduler_fire_lag_seconds_sum{job_name="nightly"} 2.4',
      'scheduler_last_success_age_seconds{job_name="nightly"} 3600.25',
      'scheduler_skipped_total{job_name="nightly",reason="paused"} 2',
      'scheduler_skipped_total{job_name="nightly",reason="overlap"} 0',
      'scheduler_skipped_total{job_name="nightly",reason="misfire_once"} 1',
      'scheduler_missed_total{job_name="nightly"} 1',
      'scheduler_lost_total{job_name="nightly"} 1',
      'scheduler_retries_total{job_name="nightly"} 2',
      'scheduler_job_active{job_name="nightly"} 1',
      'scheduler_job_active{job_name="new"} 0',
      'scheduler_jobs{state="paused"} 1',
      "scheduler_locks_open 2",
      "scheduler_pulse_age_seconds 12.5",
      "xmrt_devices_total 20",
      "xmrt_devices_active 4",
      "xmrt_charging_sessions_total 100",
      "xmrt_pop_events_total 50",
      "xmrt_pop_events_validated 40",
      "xmrt_pop_points_total 123.4567",
      "xmrt_commands_total 30",
      'xmrt_commands_by_status{status="failed"} 3',
      'xmrt_commands_by_status{status="completed"} 0',
      "scheduled_actions_waiting 8",
      "scheduled_actions_overdue_seconds 30",
      'scheduled_action_occurrences_by_status{status="dead"} 2',
      'scheduled_action_occurrences_by_status{status="completed"} 0',
      'api_key_status{provider="github",key_name="default",status="expiring"} 1',
      'api_key_status{provider="github",key_name="default",status="valid"} 0',
      'api_key_expires_in_seconds{provider="github",key_name="default"} 86400',
      "code_failure_causes_open 3",
      "code_fix_proposals_pending 1",
      "batch_not_begun_seconds 600.5",
      "batch_jobs_open 2",
      "batch_oldest_open_seconds 7200",
      'batch_tasks_by_status{status="failed"} 10',
      'batch_provider_failures_in_row{provider="openai"} 5',
      'batch_provider_failures_in_row{provider="deepseek"} 0',
    ]
  ) assert.ok(lines.includes(line), `${line} is not in\n${text}`);
  assert.ok(!/scheduler_last_success_age_seconds\{job_name="new"\}/.test(text), "never succeeded");
  assert.ok(!lines.some((line) => line.startsWith("xmrt_charging_efficiency_avg ")), "no data");
});

Deno.test({
  name: "promtool finds nothing to say against the exposition",
  ignore: !hasPromtool,
  fn: async () => assert.equal(await checkMetrics((await scrape()).text), ""),
});

Deno.test("HEAD answers as GET does, without the text", async () => {
  const { response, text } = await scrape({ method: "HEAD", headers: bearer });
  assert.deepEqual([response.status, text], [200, ""]);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
});

Deno.test("the token lets in as bearer alone; so do the cron secret and the service key", async () => {
  const status = async (headers: Record<string, string>, variables = {}) => {
    const { response, asked } = await scrape({ headers }, { variables });
    assert.equal(
      asked.length,
      response.status === 200 ? 1 : 0,
      "nobody else makes it ask the database",
    );
    return response.status;
  };
  for (
    const headers of [
      bearer,
      { authorization: `bearer ${token}` },
      { authorization: `Bearer ${cronSecret}` },
      { "x-cron-secret": cronSecret },
      { apikey: serviceKey },
    ] as Record<string, string>[]
  ) assert.equal(await status(headers), 200, JSON.stringify(headers));
  for (
    const headers of [
      {},
      { authorization: `Bearer ${token.slice(0, -1)}` },
      { authorization: `Bearer ${token}x` },
      { authorization: token },
      { authorization: `Basic ${btoa(`x:${token}`)}` },
      { "x-cron-secret": token },
      { apikey: token },
      { "x-manual-call": "true" },
    ] as Record<string, string>[]
  ) assert.equal(await status(headers), 401, JSON.stringify(headers));
  assert.equal(await status(bearer, { METRICS_TOKEN: "" }), 401, "no token is set");
  const loopback = { ALLOW_UNAUTHENTICATED_MANUAL_CALLS: "true" };
  assert.equal(await status({ "x-manual-call": "true" }, loopback), 200, "a developer's machine");
});

Deno.test("every method but GET and HEAD is 405 with Allow, and 401 without a credential", async () => {
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
    const { response } = await scrape({ method, headers: bearer });
    assert.deepEqual([response.status, response.headers.get("allow")], [405, "GET, HEAD"], method);
    assert.equal((await scrape({ method })).response.status, 401, method);
  }
});

Deno.test("a token of 31 characters, or no cron secret, is answered 500 misconfigured to everybody", async () => {
  for (
    const [variables, name] of [
      [{ METRICS_TOKEN: "t".repeat(31) }, "METRICS_TOKEN"],
      [{ CRON_SECRET: "" }, "CRON_SECRET"],
      [{ SUPABASE_SERVICE_ROLE_KEY: "" }, "SUPABASE_SERVICE_ROLE_KEY"],
      [{ SUPABASE_URL: "" }, "SUPABASE_URL"],
    ] as const
  ) {
    const { response, text } = await scrape({ headers: bearer }, { variables });
    const { error } = JSON.parse(text);
    assert.deepEqual([response.status, error.code], [500, "misconfigured"], text);
    assert.match(error.message, new RegExp(name));
    assert.doesNotMatch(text, /tttt/);
  }
});

const failures: [string, Reply, RegExp][] = [
  ["is down behind its REST server", {
    status: 503,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      code: "PGRST001",
      message: "Database client error. Retrying the connection.",
    }),
  }, /Database client error/],
  ["lacks the function", {
    status: 404,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      code: "PGRST202",
      message: "Could not find the function public.prometheus_metrics",
    }),
  }, /Could not find the function/],
  ["breaks the connection", "reset", /Cannot read the metrics: ./],
  ["answers nothing", {
    status: 200,
    headers: { "content-type": "application/json" },
    body: "null",
  }, /empty/],
];
for (const [what, reply, message] of failures) {
  Deno.test(`503 with words, not an empty page, when the database ${what}`, async () => {
    const { response, text, lines } = await scrape(undefined, { reply });
    const { error } = JSON.parse(text);
    assert.deepEqual([response.status, error.code], [503, "database_unavailable"], text);
    assert.match(error.message, message);
    assert.match(lines.join("\n"), /database_unavailable/, "the log has it as well");
    for (const secret of [token, cronSecret, serviceKey]) {
      assert.ok(!text.includes(secret) && !lines.join("\n").includes(secret));
    }
  });
}
