import assert from "node:assert/strict";
import { against, json } from "../../support/command-line.ts";

const none = { average_ms: null, p50_ms: null, p95_ms: null, p99_ms: null };
const unknown = {
  from: null,
  runs: null,
  completed: null,
  failed: null,
  deferred: null,
  success_rate: null,
  cancelled: null,
  skipped: null,
  missed: null,
  lost: null,
  retries: null,
  duration: none,
  fire_lag: none,
};
const day = {
  ...unknown,
  from: "2026-03-01T12:00:00+00:00",
  runs: 2000,
  completed: 1999,
  failed: 1,
  missed: 2,
  lost: 0,
  retries: 1,
  success_rate: 0.9995,
  duration: { ...none, p50_ms: 850, p95_ms: 3200 },
  fire_lag: { ...none, p95_ms: 40 },
};
const quiet = { ...day, runs: 0, failed: 0, missed: 0, retries: 0, success_rate: null };
const nightly = {
  job: "nightly",
  alias: null,
  group: null,
  windows: {
    "1h": { ...quiet, from: "2026-03-02T11:00:00+00:00", duration: none, fire_lag: none },
    "24h": day,
    "7d": { ...day, success_rate: 1 },
    "30d": { ...day, success_rate: 0.29 },
  },
};
const fresh = {
  ...nightly,
  job: "fresh",
  windows: { "1h": unknown, "24h": unknown, "7d": unknown, "30d": unknown },
};
const answer = (...jobs: object[]) =>
  json({ timestamp: "2026-03-02T12:00:00+00:00", jobs, next_cursor: null });

Deno.test("metrics shows each job's last 24 hours", async () => {
  const { stdout, stderr, code, asked } = await against(answer(nightly, fresh), ["metrics"]);
  assert.deepEqual([code, stderr, asked[0]!.url], [0, "", "/functions/v1/cron/metrics"]);
  assert.equal(
    stdout,
    `JOB      WINDOW  RUNS  SUCCESS  FAILED  MISSED  RETRIES  P50     P95    LATE   KNOWN SINCE (Europe/Berlin)
nightly  24h     2000  99.9%    1       2       1        850 ms  3.2 s  40 ms  2026-03-01 13:00:00
fresh    24h     -                                                             -`,
  );
});

Deno.test("metrics of a job shows its four windows, and --window one", async () => {
  const { stdout, asked } = await against(answer(nightly), ["metrics", "nightly"]);
  assert.equal(asked[0]!.url, "/functions/v1/cron/metrics?job=nightly");
  const rows = stdout.split("\n").slice(1).map((row) => row.split(/ {2,}/));
  assert.deepEqual(
    rows.map(([, window, runs, success]) => [window, runs, success]),
    [
      ["1h", "0", "2026-03-02 12:00:00"],
      ["24h", "2000", "99.9%"],
      ["7d", "2000", "100%"],
      ["30d", "2000", "29%"],
    ],
  );
  const week = await against(answer(nightly), ["metrics", "nightly", "--window", "7d"]);
  assert.match(week.stdout, /\nnightly +7d .*$/);
  assert.equal(week.stdout.split("\n").length, 2);
});

Deno.test("metrics knows its windows, and says when there is no job", async () => {
  const wrong = await against(answer(nightly), ["metrics", "--window", "2h"]);
  assert.deepEqual([wrong.code, wrong.asked.length], [2, 0]);
  assert.match(wrong.stderr, /Allowed choices are 1h, 24h, 7d, 30d/);
  assert.equal((await against(answer(), ["metrics"])).stdout, "There is no job");
});
