import assert from "node:assert/strict";
import { against, json } from "../../support/command-line.ts";

const outgrows = (job: string, on: string) => ({
  kind: "outgrows",
  limit: "timeout",
  limit_ms: 120_000,
  reached: false,
  on,
  earliest: on,
  latest: null,
  p95_ms: 80_000,
  ms_a_day: 900,
  least_ms_a_day: 800,
  most_ms_a_day: 1000,
  days: 63,
  since: "2025-12-29",
  sentence: `${job} reaches its timeout of 2 minutes on ${on} (by 63 days)`,
});
const unusual = {
  kind: "unusual_duration",
  at: "2026-03-01T03:00:00+00:00",
  average_ms: 9000,
  usual_ms: 1000,
  least_ms: 500,
  most_ms: 2000,
  days: 42,
  sentence:
    "nightly took 9.0 s on average at 2026-03-01 03:00 UTC, where 1.0 s is usual (by 42 days)",
};
const job = (name: string, more: object = {}) => ({
  job: name,
  alias: null,
  made_at: "2026-03-02T00:00:04+00:00",
  days: 63,
  duration: null,
  findings: [] as object[],
  figures: {},
  cost: null,
  error: null,
  ...more,
});
const project = {
  made_at: "2026-03-02T00:00:04+00:00",
  ledger: { sentence: "the ledger has 5 rows" },
  cost: { sentence: "7 calls" },
};
const answer = (jobs: object[], whole: object | null = project) =>
  json({ timestamp: "2026-03-02T12:00:00+00:00", project: whole, jobs, next_cursor: null });

Deno.test("forecast shows what comes, the nearest day first, then ledger and cost", async () => {
  const { stdout, stderr, code, asked } = await against(
    answer([
      job("later", { findings: [outgrows("later", "2026-05-12")] }),
      job("nightly", { findings: [outgrows("nightly", "2026-03-12"), unusual] }),
      job("quiet"),
      job("broken", { error: "division\nby zero" }),
    ]),
    ["forecast"],
  );
  assert.deepEqual([code, stderr, asked[0]!.url], [0, "", "/functions/v1/cron/forecast"]);
  assert.equal(
    stdout,
    `DAY (UTC)   JOB      WHAT
2026-03-12  nightly  reaches its timeout of 2 minutes on 2026-03-12 (by 63 days)
2026-05-12  later    reaches its timeout of 2 minutes on 2026-05-12 (by 63 days)
            nightly  took 9.0 s on average at 2026-03-01 03:00 UTC, where 1.0 s is usual (by 42 days)
            broken   division by zero

Ledger: the ledger has 5 rows

Cost: 7 calls`,
  );
});

Deno.test("forecast says when there is nothing to say, and why", async () => {
  const { stdout } = await against(
    answer([
      job("a"),
      job("b", { days: 3 }),
      job("c", { days: 3 }),
      job("d", { days: 0, made_at: null }),
    ]),
    ["forecast"],
  );
  assert.match(
    stdout,
    /^Nothing is foreseen of 1 of 4 jobs; of 2 fewer than 14 days are known; of 1 the pulse has made no forecast yet\n/,
  );
  const young = await against(answer([], null), ["forecast"]);
  assert.equal(
    young.stdout,
    "Nothing is foreseen of 0 of 0 jobs\n\nLedger and cost: the pulse has made no forecast yet",
  );
});

Deno.test("forecast of a job has its duration, its cost and its figures", async () => {
  const trend = { level: 5000, days: 40, since: "2026-01-21" };
  const { stdout, asked } = await against(
    answer([job("nightly", {
      duration: {
        p95_ms: 80_000,
        ms_a_day: 900,
        least_ms_a_day: 800,
        most_ms_a_day: 1000,
        days: 63,
        since: "2025-12-29",
      },
      cost: { invocations: 30, wall_seconds: 2400, days: 42 },
      figures: {
        rows: { ...trend, a_day: 100, least_a_day: 90, most_a_day: 110, in_30_days: 8000 },
        cost: { ...trend, a_day: null, least_a_day: null, most_a_day: null, in_30_days: null },
      },
    })]),
    ["forecast", "nightly"],
  );
  assert.equal(asked[0]!.url, "/functions/v1/cron/forecast?job=nightly");
  assert.equal(
    stdout,
    `nightly: nothing is foreseen (by 63 days)

One run in twenty takes 1 min 20 s or longer, and 900 ms more each day (800 to 1000), by 63 days

In 30 days: 30 calls, 2400 seconds of work

FIGURE  A DAY NOW  MORE EACH DAY    IN 30 DAYS  DAYS
rows    5000       100 (90 to 110)  8000        40
cost    5000       no trend                     40`,
  );
  const young = await against(answer([job("new", { days: 2 })]), ["forecast", "new"]);
  assert.equal(young.stdout, "new: what comes is said from 14 days on, 2 are known");
  const unmade = await against(answer([job("new", { days: 0, made_at: null })]), [
    "forecast",
    "new",
  ]);
  assert.equal(unmade.stdout, "new: the pulse has made no forecast yet");
});
