import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const next = (sql: Sql, job: string | null, cursor: string | null = null, now = t.NOON) =>
  t.value(sql, "scheduler.api_next($1, $2, $3)", [job, cursor, now]);
const timeline = (sql: Sql, from: Date | string, to: Date | string, now = t.NOON) =>
  t.value(sql, "scheduler.api_timeline($1, $2, null, $3)", [from, to, now]);

t.ledgerTest(
  "explain answers with the sentence of scheduler.explain, by a job's name or alias",
  async ({ sql }) => {
    await t.register(sql, "job", { alias: "worker" });
    await t.start(sql, "job");
    for (const at of [null, t.NOON, t.after(-0.5), t.after(7)]) {
      const found = await t.value(sql, "scheduler.api_explain('worker', $1, $2)", [at, t.after(1)]);
      const said = await t.value(sql, "scheduler.explain('job', $1, $2)", [at, t.after(1)]);
      assert.deepEqual([found.job, found.sentence], ["job", said]);
    }
    assert.equal((await refusal(sql`select scheduler.api_explain('nobody')`)).code, "SD001");
    assert.equal(
      (await refusal(sql`select scheduler.api_explain('job', 'infinity')`)).code,
      "22023",
    );
  },
);

t.ledgerTest(
  "next has each job's next occurrence, in order of time and page by page",
  async ({ sql }) => {
    await sql`
    insert into scheduler_jobs (name, target, schedule, next_run_at)
    select 'job-' || lpad(i::text, 3, '0'), 'job', '* * * * *', ${t.NOON}::timestamptz + (i % 7) * interval '1 minute'
    from generate_series(1, 150) as i`;
    await t.register(sql, "on-demand", { schedule: null });
    await t.register(sql, "off", { enabled: false });
    const first = await next(sql, null);
    const second = await next(sql, null, first.next_cursor);
    assert.deepEqual([first.occurrences.length, second.occurrences.length, second.next_cursor], [
      100,
      50,
      null,
    ]);
    const found = [...first.occurrences, ...second.occurrences].map((
      { job, run_at }: { job: string; run_at: string },
    ) => `${run_at} ${job}`);
    assert.deepEqual(found, [...new Set(found)].sort());
  },
);

t.ledgerTest(
  "next of one job has its occurrences to come, or why there are none",
  async ({ sql }) => {
    await t.register(sql, "job", {
      alias: "worker",
      schedule: "*/30 * * * *",
      time_zone: "Asia/Kolkata",
    });
    await t.register(sql, "on-demand", { schedule: null });
    const first = await next(sql, "worker");
    assert.equal(first.occurrences.length, 100);
    assert.equal(Date.parse(first.occurrences[0].run_at), t.after(30).getTime());
    assert.equal(first.occurrences[0].local_time, "2026-03-02 18:00 Asia/Kolkata");
    const second = await next(sql, "job", first.next_cursor);
    assert.equal(Date.parse(second.occurrences[0].run_at), t.after(30 * 101).getTime());
    const { occurrences: [none], next_cursor } = await next(sql, "on-demand");
    assert.deepEqual([none.run_at, none.note, next_cursor], [
      null,
      "has no schedule: it runs when it is enqueued or called",
      null,
    ]);
    assert.equal((await refusal(next(sql, "nobody"))).code, "SD001");
    assert.equal((await refusal(next(sql, null, "nonsense"))).code, "22023");
  },
);

const lengths: [number, number][] = [
  [1, 10],
  [16, 10],
  [17, 60],
  [96, 60],
  [97, 300],
  [1440, 900],
  [1441, 1800],
  [7 * 1440, 7200],
  [31 * 1440, 43200],
];
t.ledgerTest("a timeline has at most 96 cells, of a usual length", async ({ sql }) => {
  for (const [minutes, seconds] of lengths) {
    const found = await t.value(sql, "scheduler.cell_seconds($1, $2)", [t.NOON, t.after(minutes)]);
    assert.equal(found, seconds, `${minutes} minutes`);
    assert.ok(minutes * 60 / seconds <= 96);
  }
});

t.ledgerTest(
  "a day's timeline has what ran, failed, was skipped, and is to come",
  async ({ sql }) => {
    await t.register(sql, "job", {
      schedule: "*/10 * * * *",
      max_attempts: 2,
      backoff_base_seconds: 1,
      backoff_cap_seconds: 1,
      timeout_seconds: 3600,
    });
    const called = await t.value(sql, "scheduler.run_now('job', 'ann', p_now => $1)", [
      t.after(-30),
    ]);
    await sql`update scheduler_runs set created_at = scheduled_for`;
    await t.begin(sql, called, t.after(-30));
    await t.finish(sql, called, "completed", t.after(-29));
    const run = await t.start(sql, "job");
    await t.begin(sql, run, t.NOON);
    await t.finish(sql, run, "failed", t.NOON);
    await t.pulse(sql, t.after(5));
    const [, , retry] = await t.runs(sql, "job");
    await t.begin(sql, retry!.id, t.after(5));
    await t.finish(sql, retry!.id, "completed", t.after(5));
    const second = await t.start(sql, "job", t.after(10));
    await t.begin(sql, second, t.after(10));
    await t.heartbeat(sql, second, t.after(19.9));
    await t.pulse(sql, t.after(20));
    const found = await timeline(sql, t.NOON, t.after(60), t.after(21));
    assert.equal(found.cell_seconds, 60);
    const [{ job, time_zone, cells }] = found.jobs;
    assert.deepEqual([job, time_zone], ["job", "UTC"]);
    const told = (cells: { at: string }[]) =>
      cells.map(({ at, ...counts }) => [(Date.parse(at) - t.NOON.getTime()) / 60_000, counts]);
    assert.deepEqual(told(cells), [
      [0, { completed: 1 }],
      [10, { under_way: 1 }],
      [20, { skipped: 1 }],
      [30, { to_come: 1 }],
      [40, { to_come: 1 }],
      [50, { to_come: 1 }],
    ], "an occurrence counts as its last attempt");
    const before = await timeline(sql, t.after(-60), t.NOON);
    assert.deepEqual(told(before.jobs[0].cells), [[-30, { completed: 1 }]], "the call by hand");
  },
);

t.ledgerTest(
  "jobs that share a schedule have each their own occurrences to come",
  async ({ sql }) => {
    const schedule = "*/20 * * * *";
    await t.register(sql, "one", { schedule }, t.after(20));
    await t.register(sql, "overdue", { schedule }, t.after(-20));
    await t.register(sql, "later", { schedule }, t.after(40));
    await t.register(sql, "never", { schedule }, t.after(600));
    await t.register(sql, "lost", { schedule }, t.after(20));
    await sql`update scheduler_jobs set time_zone = 'Nowhere/Lost' where name = 'lost'`;
    await t.register(sql, "off", { schedule, enabled: false }, t.after(20));
    const { jobs } = await timeline(sql, t.after(-60), t.after(61), t.after(1));
    const found = jobs.map((job: { job: string; cells: { at: string; to_come: number }[] }) => [
      job.job,
      ...job.cells.map((
        { at, to_come },
      ) => [(Date.parse(at) - t.NOON.getTime()) / 60_000, to_come]),
    ]);
    const cells = [[20, 1], [40, 1], [60, 1]];
    assert.deepEqual(found, [
      ["later", ...cells.slice(1)],
      ["lost"],
      ["never"],
      ["off"],
      ["one", ...cells],
      ["overdue", ...cells],
    ]);
  },
);

t.ledgerTest("a timeline has 25 jobs a page", async ({ sql }) => {
  for (let i = 0; i < 26; i++) await t.register(sql, `job-${String(i).padStart(2, "0")}`);
  const page = (cursor: string | null) =>
    t.value(sql, "scheduler.api_timeline($1, $2, $3, $1)", [t.NOON, t.after(60), cursor]);
  const first = await page(null);
  assert.deepEqual([first.jobs.length, first.next_cursor], [25, "job-24"]);
  const { jobs, next_cursor } = await page(first.next_cursor);
  assert.deepEqual([jobs.map(({ job }: { job: string }) => job), next_cursor], [["job-25"], null]);
});

t.ledgerTest("a timeline tells when the clocks of its jobs change", async ({ sql }) => {
  await t.register(sql, "york", { time_zone: "America/New_York" });
  await t.register(sql, "utc");
  await t.register(sql, "lost");
  await sql`update scheduler_jobs set time_zone = 'Mars/Olympus' where name = 'lost'`;
  const { zone_changes } = await timeline(sql, "2026-03-08T00:00Z", "2026-03-09T00:00Z");
  assert.deepEqual(
    zone_changes.map((change: { at: string }) => ({ ...change, at: Date.parse(change.at) })),
    [{
      time_zone: "America/New_York",
      at: Date.parse("2026-03-08T07:00Z"),
      offset_before_seconds: -18000,
      offset_seconds: -14400,
    }],
  );
});

t.ledgerTest(
  "a timeline is today without a range, and refuses one that is none",
  async ({ sql }) => {
    const found = await t.value(sql, "scheduler.api_timeline(null, null, null, $1)", [t.after(61)]);
    assert.deepEqual([Date.parse(found.from), Date.parse(found.to)], [
      Date.parse("2026-03-02T00:00Z"),
      Date.parse("2026-03-03T00:00Z"),
    ]);
    for (
      const [from, to] of [
        [t.NOON, t.NOON],
        [t.after(1), t.NOON],
        [t.NOON, t.after(31 * 1440 + 1)],
      ] as const
    ) {
      const error = await refusal(timeline(sql, from, to));
      assert.deepEqual([error.code, error.message.slice(0, 24)], [
        "22023",
        "cannot show the timeline",
      ]);
    }
    for (const range of ["'-infinity', '2026-03-02'", "'2026-03-02', 'infinity'"]) {
      const error = await refusal(sql.unsafe(`select scheduler.api_timeline(${range})`));
      assert.equal(error.code, "22023", range);
    }
  },
);

t.ledgerTest("the audit log has every verb, newest first and page by page", async ({ sql }) => {
  for (let i = 0; i < 101; i++) {
    await sql`select scheduler.audit('verb', 'job', ${`job ${i}`}, 'why', 'ann', null, '{"i": 1}', ${t.NOON})`;
  }
  const first = await t.value(sql, "scheduler.api_audit_log()");
  const second = await t.value(sql, "scheduler.api_audit_log($1)", [first.next_cursor]);
  assert.deepEqual([first.entries.length, second.entries.length, second.next_cursor], [
    100,
    1,
    null,
  ]);
  const { id: _, occurred_at, ...entry } = first.entries[0];
  assert.equal(Date.parse(occurred_at), t.NOON.getTime());
  assert.deepEqual(entry, {
    author: "ann",
    verb: "verb",
    subject_type: "job",
    subject: "job 100",
    reason: "why",
    before: null,
    after: { i: 1 },
  });
  assert.equal(second.entries[0].subject, "job 0");
  for (const cursor of ["", "x", "-1", "1".repeat(19), "1; drop table scheduler_audit"]) {
    assert.equal((await refusal(sql`select scheduler.api_audit_log(${cursor})`)).code, "22023");
  }
});

t.ledgerTest("verify says whether all checks are well", async ({ sql }) => {
  await t.register(sql, "job");
  await t.pulse(sql, t.NOON);
  const found = await t.value(sql, "scheduler.api_verify($1)", [t.after(0.5)]);
  const names = found.checks.map(({ check }: { check: string }) => check);
  assert.ok(names.includes("pulse") && names.includes("Vault"), String(names));
  assert.equal(found.ok, true, JSON.stringify(found.checks));
  const later = await t.value(sql, "scheduler.api_verify($1)", [t.after(5)]);
  assert.equal(later.ok, false);
});
