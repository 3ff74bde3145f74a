import assert from "node:assert/strict";
import type { Reading } from "../../../supabase/functions/prometheus-metrics/reading.ts";
import { serveMetrics } from "../../../supabase/functions/prometheus-metrics/serve.ts";
import { FakePlatform } from "../../support/fake-platform.ts";
import { type Reply, withHttpServer } from "../../support/http-server.ts";
import { checkMetrics, hasPromtool } from "../../support/promtool.ts";

const cronSecret = "c".repeat(32);
const serviceKey = "k".repeat(40);
const token = "the-token-of-the-scraper-0123456789";
const bearer = { authorization: `Bearer ${token}` };

const reading: Reading = {
  families: [
    { name: "scheduler_runs_total", type: "counter", help: "Runs that ended, by status." },
    { name: "scheduler_run_duration_seconds", type: "histogram", help: "How long runs took." },
    { name: "scheduler_last_success_age_seconds", type: "gauge", help: "Since the last success." },
    { name: "scheduler_locks_open", type: "gauge", help: "Locks that are held." },
    { name: "xmrt_devices_total", type: "counter", help: "Devices ever registered." },
    { name: "scheduler_metric_sources_failed", type: "gauge", help: "Functions that failed." },
  ],
  sources: [
    [
      {
        labels: { job_name: ["nightly", "new"] },
        series: [
          { family: "scheduler_runs_total", labels: { status: "completed" }, values: [7, 0] },
          { family: "scheduler_runs_total", labels: { status: "failed" }, values: [2, 0] },
          {
            family: "scheduler_run_duration_seconds",
            bounds: [0.1, 0.5],
            counts: [[4, 2, 1], [0, 0, 0]],
            sums: [5.25, 0],
          },
          { family: "scheduler_last_success_age_seconds", labels: {}, values: [3600.25, null] },
        ],
      },
      { labels: {}, series: [{ family: "scheduler_locks_open", labels: {}, values: [2] }] },
    ],
    [{
      labels: {},
      series: [{ family: "scheduler_metric_sources_failed", labels: {}, values: [0] }],
    }],
  ],
  errors: {},
};

/** The same where the source of the devices could not be read. */
const partly: Reading = {
  ...reading,
  sources: [
    reading.sources[0]!,
    [{
      labels: {},
      series: [{ family: "scheduler_metric_sources_failed", labels: {}, values: [1] }],
    }],
  ],
  errors: { "devices.fleet_metrics": 'relation "public.devices" does not exist' },
};

const answering = (what: Reading): Reply => ({
  status: 200,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(what),
});

/** Calls the handler where a server answers in the place of PostgREST. */
async function scrape(
  init: RequestInit = { headers: bearer },
  options: { reply?: Reply; variables?: Record<string, string> } = {},
) {
  let result: { response: Response; text: string; lines: string[]; asked: string[] } | undefined;
  await withHttpServer(() => options.reply ?? answering(reading), async (server) => {
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
  const { response, text, asked, lines } = await scrape();
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assert.deepEqual(asked, ["POST /rest/v1/rpc/prometheus_metrics"]);
  assert.deepEqual(
    text.split("\n").filter((line) => !line.startsWith("#")),
    [
      'scheduler_runs_total{job_name="nightly",status="completed"} 7',
      'scheduler_runs_total{job_name="new",status="completed"} 0',
      'scheduler_runs_total{job_name="nightly",status="failed"} 2',
      'scheduler_runs_total{job_name="new",status="failed"} 0',
      'scheduler_run_duration_seconds_bucket{job_name="nightly",le="0.1"} 4',
      'scheduler_run_duration_seconds_bucket{job_name="nightly",le="0.5"} 6',
      'scheduler_run_duration_seconds_bucket{job_name="nightly",le="+Inf"} 7',
      'scheduler_run_duration_seconds_sum{job_name="nightly"} 5.25',
      'scheduler_run_duration_seconds_count{job_name="nightly"} 7',
      'scheduler_run_duration_seconds_bucket{job_name="new",le="0.1"} 0',
      'scheduler_run_duration_seconds_bucket{job_name="new",le="0.5"} 0',
      'scheduler_run_duration_seconds_bucket{job_name="new",le="+Inf"} 0',
      'scheduler_run_duration_seconds_sum{job_name="new"} 0',
      'scheduler_run_duration_seconds_count{job_name="new"} 0',
      'scheduler_last_success_age_seconds{job_name="nightly"} 3600.25',
      "scheduler_locks_open 2",
      "scheduler_metric_sources_failed 0",
      "",
    ],
  );
  assert.match(text, /^# TYPE scheduler_runs_total counter$/m);
  assert.match(text, /^# HELP xmrt_devices_total Devices ever registered\.$/m, "without a sample");
  assert.deepEqual(lines, [], "there is nothing to log");
});

Deno.test("a source that failed is counted and logged with its reason, and the others are shown", async () => {
  const { response, text, lines } = await scrape(undefined, { reply: answering(partly) });
  assert.equal(response.status, 200);
  assert.match(text, /^scheduler_locks_open 2$/m);
  assert.match(text, /^scheduler_metric_sources_failed 1$/m);
  assert.doesNotMatch(text, /^xmrt_devices_total/m);
  assert.equal(lines.length, 1);
  const { level, message, source, reason } = JSON.parse(lines[0]!);
  assert.deepEqual({ level, message, source, reason }, {
    level: "error",
    message: "a source of metrics failed",
    source: "devices.fleet_metrics",
    reason: 'relation "public.devices" does not exist',
  });
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
