import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addChannel, alerts, said } from "../../support/alerts.ts";
import * as t from "../../support/scheduler.ts";

type Sighting = Record<string, unknown>;

const seen = (job: string, verdict: string, more: Sighting = {}): Sighting => ({
  rule: "failed",
  severity: "warning",
  for_seconds: 0,
  job_name: job,
  verdict,
  host: "functions",
  secret_name: "cron_secret",
  depends_on: [],
  ...more,
});

/** The causes of what is seen, a line each: `"host functions: a, b"`. */
async function causesOf(sql: Sql, sightings: Sighting[]): Promise<string[]> {
  const rows = await sql`
    select cause, jobs from scheduler.causes_of(array(
      select sightings from jsonb_populate_recordset(null::scheduler.sighting, ${
    sql.json(sightings as never)
  }) as sightings))
    order by cause`;
  return rows.map(({ cause, jobs }) => `${cause}: ${jobs.join(", ")}`);
}

const ABC = ["a", "b", "c"];

t.ledgerTest(
  "what stops many jobs is one cause, and what is a job's own fault stays its own",
  async ({ sql }) => {
    const cases: [name: string, sightings: Sighting[], causes: string[]][] = [
      ["nothing", [], []],
      ["one job's own failure", [seen("a", "job_error")], ["job a: a"]],
      ["own failures of many", ABC.map((job) => seen(job, "job_error")), [
        "job a: a",
        "job b: b",
        "job c: c",
      ]],
      ["a dead host", ABC.map((job) => seen(job, "unreachable")), ["host functions: a, b, c"]],
      ["lost and unreachable are one host", [seen("a", "lost"), seen("b", "unreachable")], [
        "host functions: a, b",
      ]],
      ["two hosts", [seen("a", "unreachable"), seen("b", "unreachable", { host: "api.test" })], [
        "host api.test: b",
        "host functions: a",
      ]],
      ["a wrong secret", ABC.map((job) => seen(job, "unauthorized")), [
        "secret cron_secret: a, b, c",
      ]],
      ["two secrets", [
        seen("a", "unauthorized"),
        seen("b", "unauthorized", { secret_name: "other" }),
      ], [
        "secret cron_secret: a",
        "secret other: b",
      ]],
      [
        "a missing secret",
        ABC.map((job) => seen(job, "misconfigured", { fault: "Vault has none" })),
        [
          "setup Vault has none: a, b, c",
        ],
      ],
      ["a queue that stands still", ABC.map((job) => seen(job, "not_sent")), ["queue: a, b, c"]],
      ["two that do not boot", [seen("a", "boot_error"), seen("b", "boot_error")], [
        "job a: a",
        "job b: b",
      ]],
      ["three that do not boot", ABC.map((job) => seen(job, "boot_error")), [
        "host functions: a, b, c",
      ]],
      ["two rules of three jobs are three jobs", [
        seen("a", "stalled"),
        seen("a", "stalled", { rule: "failing", severity: "critical" }),
        seen("b", "stalled"),
      ], ["job a: a", "job b: b"]],
      ["all missed", ABC.map((job) => seen(job, "", { verdict: null, rule: "missed" })), [
        "clock: a, b, c",
      ]],
      [
        "the pulse fails for two",
        ["a", "b"].map((job) =>
          seen(job, "", { verdict: null, rule: "pulse_errors", fault: "it broke" })
        ),
        ["job a: a", "job b: b"],
      ],
      [
        "the pulse fails for three alike",
        ABC.map((job) => seen(job, "", { verdict: null, rule: "pulse_errors", fault: "it broke" })),
        ["pulse: a, b, c"],
      ],
      ["those that wait for a failed job", [
        seen("a", "job_error"),
        seen("b", "", { verdict: null, rule: "late", depends_on: ["a"] }),
        seen("c", "", { verdict: null, rule: "dependency_timeout", depends_on: ["x"] }),
      ], ["job a: a, b", "job c: c"]],
      ["those that wait for a job behind a dead host", [
        seen("a", "unreachable"),
        seen("b", "", { verdict: null, rule: "late", depends_on: ["a"] }),
      ], ["host functions: a, b"]],
    ];
    for (const [name, sightings, causes] of cases) {
      assert.deepEqual(await causesOf(sql, sightings), causes, name);
    }
    const [worst] = await sql`
    select rule, severity from scheduler.causes_of(array(
      select sightings from jsonb_populate_recordset(null::scheduler.sighting, ${
      sql.json([
        seen("a", "job_error"),
        seen("a", "job_error", { rule: "failing", severity: "critical" }),
      ] as never)
    }) as sightings))`;
    assert.deepEqual({ ...worst }, { rule: "failing", severity: "critical" });
  },
);

t.ledgerTest(
  "50 jobs that fail for one cause are one alert a channel, and one end",
  async ({ sql }) => {
    const names = Array.from({ length: 50 }, (_, i) => `job-${String(i).padStart(2, "0")}`);
    for (const name of names) await t.register(sql, name, { max_attempts: 1 });
    await addChannel(sql, "slack");
    await addChannel(sql, "webhook");
    await sql`select scheduler.set_alert_rule('failing', 'a short test', 'Ada', 2)`;
    for (let minute = 0; minute < 2; minute++) {
      await t.dispatch(sql, names[0]!, t.after(minute));
      await sql`
      with asked as (
        delete from net.http_request_queue where headers ? 'x-run-id' returning id), taken as (
        delete from net.http_request_queue where not headers ? 'x-run-id')
      insert into net._http_response (id, error_msg, timed_out, created)
      select id, 'Couldn''t connect to server', false, ${t.after(minute + 0.05)} from asked`;
      await t.pulse(sql, t.after(minute + 0.2));
      await t.pulse(sql, t.after(minute + 0.9));
    }
    const [alert] = await alerts(sql);
    assert.deepEqual([alert!.cause, alert!.rule, alert!.jobs.length, alert!.jobs_now], [
      "host functions",
      "failing",
      50,
      50,
    ]);
    // It becomes critical with the second occurrence in a row.
    assert.deepEqual((await said(sql)).map((line) => line.replace(/ \w+$/, "")), [
      "slack opened warning",
      "webhook opened warning",
      "slack worse critical",
      "webhook worse critical",
    ]);
    const [opening] =
      await sql`select message from scheduler_alert_deliveries order by written_at limit 1`;
    assert.equal(opening!.message.title, "the functions do not answer (50 jobs)");

    await sql`update scheduler_jobs set next_run_at = ${t.after(10)}`;
    await t.dispatch(sql, names[0]!, t.after(10));
    for (
      const { id, job_name }
        of await sql`select id, job_name from scheduler_runs where status = 'dispatched'`
    ) {
      await t.begin(sql, id, t.after(10.1), job_name);
      await t.finish(sql, id, "completed", t.after(10.2));
    }
    await sql`delete from net.http_request_queue`;
    await t.pulse(sql, t.after(11));
    const ended = await alerts(sql);
    assert.deepEqual(ended.map((row) => [row.end_kind, row.settled, row.jobs_now]), [[
      "over",
      true,
      0,
    ]]);
    const ends = (await sql`
      select channel, message from scheduler_alert_deliveries where event = 'ended' order by channel`)
      .map((row) => [row.channel, row.message.note]);
    assert.deepEqual(ends, [
      ["slack", "It is over after 10 minutes."],
      ["webhook", "It is over after 10 minutes."],
    ]);
  },
);

/** The rules that hold of jobs, a line each. */
const rulesOf = async (sql: Sql, now: Date) =>
  (await sql`
    select job_name, rule from scheduler.job_sightings((select errors from scheduler.pulse_state), ${now})
    order by job_name, rule`).map((row) => `${row.job_name} ${row.rule}`);

t.ledgerTest("the rules see what the ledger says", async ({ sql }) => {
  // Failed for good with its last attempt only.
  await t.register(sql, "a", { max_attempts: 2, backoff_base_seconds: 1, backoff_cap_seconds: 1 });
  const first = (await t.dispatch(sql, "a"))!;
  await t.begin(sql, first, t.after(0), "a");
  await t.finish(sql, first, "failed", t.after(0.1));
  assert.deepEqual(await rulesOf(sql, t.after(0.2)), []);
  await sql`update scheduler_jobs set next_run_at = ${t.after(100)} where name = 'a'`;
  await t.pulse(sql, t.after(0.5));
  const [retry] = await sql`select id from scheduler_runs where job_name = 'a' and attempt = 2`;
  await t.begin(sql, retry!.id, t.after(0.6), "a");
  await t.finish(sql, retry!.id, "failed", t.after(0.7));
  assert.deepEqual(await rulesOf(sql, t.after(1)), ["a failed"]);
  // While it is paused nobody looks at it.
  await sql`select scheduler.pause('a', 'why', 'who', null, ${t.after(1)})`;
  assert.deepEqual(await rulesOf(sql, t.after(1)), []);

  // Missed, and overdue while nothing records it.
  await t.register(sql, "b", { misfire_policy: "skip" }, t.after(-60));
  assert.deepEqual(await rulesOf(sql, t.after(0)), ["b overdue"]);
  await t.pulse(sql, t.after(0));
  await sql`update scheduler_jobs set next_run_at = ${t.after(900)} where name = 'b'`;
  assert.deepEqual(await rulesOf(sql, t.after(0)), ["b missed"]);
  await sql`select scheduler.unregister_job('b')`;

  // Late: it waits for the run before it.
  await t.register(sql, "c", { overlap_policy: "queue", timeout_seconds: 40_000 });
  const long = (await t.dispatch(sql, "c"))!;
  await t.begin(sql, long, t.after(0), "c");
  await t.dispatch(sql, "c", t.after(1));
  await sql`update scheduler_jobs set next_run_at = ${t.after(900)} where name = 'c'`;
  assert.deepEqual(await rulesOf(sql, t.after(60)), []);
  assert.deepEqual(await rulesOf(sql, t.after(62)), ["c late"]);
  // Too long: the p95 of 20 completed runs of a minute each is known.
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict, duration_ms)
    select 'c', 'completed', 'cron', ${t.NOON}::timestamptz - n * interval '1 hour', ${t.NOON}, 'ok', 60000
    from generate_series(1, 20) as n`;
  assert.deepEqual(await rulesOf(sql, t.after(3)), []);
  assert.deepEqual(await rulesOf(sql, t.after(3.1)), ["c long_running"]);
  await sql`select scheduler.unregister_job('c')`;

  // A breaker, and a continuous job without a living run.
  await t.register(sql, "d", { breaker_failures: 1, max_attempts: 1 });
  await sql`insert into scheduler_breakers (job_name, failures, opened_at) values ('d', 1, ${t.NOON})`;
  await sql`update scheduler_jobs set next_run_at = ${t.after(900)} where name = 'd'`;
  assert.deepEqual(await rulesOf(sql, t.after(1)), ["d breaker_open"]);
  await sql`select scheduler.unregister_job('d')`;
  await t.register(sql, "e", { schedule: "@continuous" });
  await sql`delete from scheduler_runs where job_name = 'e'`;
  assert.deepEqual(await rulesOf(sql, t.after(1)), ["e continuous_down"]);
  await sql`select scheduler.unregister_job('e')`;

  // Its forecast: in 14 days, and later.
  await t.register(sql, "g", { schedule: null });
  await sql`
    insert into scheduler.job_forecasts (job_name, made_at, job_updated_at, outgrows_limit, outgrows_on, forecast)
    values ('g', ${t.NOON}, ${t.NOON}, 'timeout', '2026-03-17', '{"findings": []}')`;
  assert.deepEqual(await rulesOf(sql, t.after(1)), []);
  assert.deepEqual(await rulesOf(sql, t.after(13 * 60)), ["g outgrows"]);
  await sql`update scheduler_alert_rules set threshold = 3 where rule = 'outgrows'`;
  assert.deepEqual(await rulesOf(sql, t.after(13 * 60)), []);
  await sql`select scheduler.unregister_job('g')`;

  await t.register(sql, "f", {}, t.after(900));
  await sql`update scheduler.pulse_state set errors = '{"f": "it broke", "step jobs": "so did this"}'`;
  assert.deepEqual(await rulesOf(sql, t.after(1)), ["f pulse_errors"]);
});

t.ledgerTest(
  "a dependency that is not there in time is seen until the job completes",
  async ({ sql }) => {
    await t.register(sql, "first", {}, t.after(900));
    await t.register(sql, "second", { depends_on: ["first"] }, t.after(900));
    const skipped = async (job: string, reason: string, minute: number) =>
      await sql`
        insert into scheduler_runs
          (job_name, status, trigger, scheduled_for, completed_at, verdict, skip_kind, skip_reason)
        values (${job}, 'skipped', 'cron', ${t.after(minute)}, ${
        t.after(minute)
      }, 'skipped', 'dependency', ${reason})`;
    await skipped("second", "dependency: first failed", 0);
    await sql`select scheduler.note_alert_events(null, ${t.after(1)})`;
    assert.deepEqual(await rulesOf(sql, t.after(1)), []);
    const [hold] = await sql`select prosrc from pg_proc where proname = 'dependency_hold'`;
    assert.ok(hold!.prosrc.includes("'dependency: %s had not completed after %s s'"));
    await skipped("second", "dependency: first had not completed after 60 s", 2);
    await sql`select scheduler.note_alert_events(${t.after(1)}, ${t.after(3)})`;
    assert.deepEqual(await rulesOf(sql, t.after(3)), ["second dependency_timeout"]);
    await sql`select scheduler.note_alert_events(${t.after(30)}, ${t.after(31)})`;
    assert.deepEqual(await rulesOf(sql, t.after(31)), ["second dependency_timeout"]);
    await sql`update scheduler.run_counters set last_success_at = ${
      t.after(40)
    } where job_name = 'second'`;
    await sql`select scheduler.note_alert_events(${t.after(2)}, ${t.after(41)})`;
    assert.deepEqual(await rulesOf(sql, t.after(41)), []);
  },
);

t.ledgerTest("budgets, the queue and steps of the pulse are causes of no job", async ({ sql }) => {
  await sql`select scheduler.register_budget('api', 10, '1 hour')`;
  await sql`select scheduler.take_tokens('api', 10, p_now => ${t.after(0)})`;
  await sql`update scheduler.pulse_state set errors = '{"step jobs": "it broke"}', queue_still_since = ${
    t.after(-3)
  }`;
  const causes = await sql`
    select cause, jobs from scheduler.seen_causes((select pulse_state from scheduler.pulse_state), ${
    t.after(0)
  })
    order by cause`;
  assert.deepEqual(causes.map((row) => [row.cause, row.jobs]), [["budget api", []], ["pulse", []], [
    "queue",
    [],
  ]]);
});

t.ledgerTest(
  "an alert opens after its time, and one that was over before is forgotten",
  async ({ sql }) => {
    await t.register(sql, "a");
    const write = (now: Date, ...causes: [cause: string, seconds: number][]) =>
      sql`
      select scheduler.write_causes(array(
        select row(cause, 'failed', 'warning', seconds, '{a}')::scheduler.seen_cause
        from jsonb_to_recordset(${
        sql.json(causes.map(([cause, seconds]) => ({ cause, seconds })))
      }) as causes (cause text, seconds integer)), ${now})`;
    await write(t.after(0), ["job a", 300], ["clock", 300]);
    await write(t.after(4), ["job a", 300]);
    assert.deepEqual((await alerts(sql)).map((row) => [row.cause, row.opened_at]), [[
      "job a",
      null,
    ]]);
    await write(t.after(5), ["job a", 300]);
    await write(t.after(9));
    await write(t.after(10), ["job a", 0]);
    await sql`select scheduler.pause('a', 'why', 'who', null, ${t.after(11)})`;
    await write(t.after(12));
    assert.deepEqual(
      (await alerts(sql)).map((row) => [row.opened_at, row.ended_at, row.end_kind]),
      [[t.after(5), t.after(9), "over"], [t.after(10), t.after(12), "unwatched"]],
    );
  },
);

t.ledgerTest(
  "without a channel no rule is looked at, and the last one that goes lets alerts end",
  async ({ sql }) => {
    await t.register(sql, "a", { max_attempts: 1 });
    const id = (await t.dispatch(sql, "a"))!;
    await t.begin(sql, id, t.after(0), "a");
    await t.finish(sql, id, "failed", t.after(0.1));
    await sql`update scheduler_jobs set next_run_at = ${t.after(900)} where name = 'a'`;
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await alerts(sql), []);
    await addChannel(sql, "slack");
    await t.pulse(sql, t.after(2));
    assert.deepEqual(await said(sql), ["slack opened warning sent"]);
    await addChannel(sql, "slack", { enabled: false });
    await sql`update scheduler.run_counters set failed_in_row = 0`;
    await t.pulse(sql, t.after(3));
    assert.deepEqual((await alerts(sql)).map((row) => [row.end_kind, row.settled]), [[
      "over",
      true,
    ]]);
    // Nothing is said to a channel that is disabled, not even what was written before.
    assert.deepEqual(await said(sql), []);
  },
);
