import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const status = (sql: Sql, now: Date, cursor: string | null = null) =>
  t.value(sql, "scheduler.api_status($1, $2)", [cursor, now]);

/** enabled, stop, breaker, seconds without a row, unsuccessful, seconds not begun, waits for: the state. */
type Case = [
  boolean,
  string | null,
  string,
  number | null,
  number,
  number | null,
  string | null,
  string,
];
const states: Case[] = [
  [true, null, "closed", null, 0, null, null, "healthy"],
  [true, null, "closed", 60, 0, 60, null, "healthy"],
  [true, null, "closed", null, 0, null, "jitter", "healthy"],
  [true, null, "closed", null, 0, null, "idle", "healthy"],
  [true, null, "closed", null, 0, null, "dependency", "waiting"],
  [true, null, "closed", null, 0, 61, "lock", "late"],
  [true, null, "closed", null, 1, 61, "retry", "failing"],
  [true, null, "closed", 60.5, 1, 61, "retry", "overdue"],
  [true, null, "half-open", 61, 1, 61, "retry", "breaker_open"],
  [true, null, "open", 61, 1, 61, "retry", "breaker_open"],
  [true, "paused", "open", 61, 1, 61, "retry", "paused"],
  [true, "incident", "closed", null, 0, null, null, "paused"],
  [false, "paused", "open", 61, 1, 61, "retry", "disabled"],
];
t.ledgerTest("the state of a job is the first that holds", async ({ sql }) => {
  for (const [...inputs] of states) {
    const expected = inputs.pop();
    const state = await t.value(
      sql,
      "scheduler.job_state($1, $2, $3, $4, $5, $6, $7)",
      inputs,
    );
    assert.equal(state, expected, JSON.stringify(inputs));
  }
});

const sentences: [Record<string, number>, string[], number | null, string | null, string][] = [
  [{}, [], 4, null, "No job is registered."],
  [{ healthy: 1 }, [], 4, null, "The one job is healthy."],
  [{ healthy: 12 }, [], 90, null, "All 12 jobs are healthy."],
  [{ healthy: 1, failing: 1 }, ["a"], 4, null, "Of 2 jobs 1 is failing, 1 is healthy. Look at a."],
  [
    { healthy: 2, paused: 1, breaker_open: 7 },
    ["a", "b", "c", "d", "e", "f", "g"],
    91,
    null,
    "Of 10 jobs 7 are stopped by a breaker, 1 is paused, 2 are healthy. Look at a, b, c, d, e and 2 more. " +
    "The pulse last beat 91 s ago: is pg_cron at work?",
  ],
  [
    { paused: 3 },
    [],
    null,
    "incident called by ann: fire",
    "All jobs are stopped: incident called by ann: fire. Of 3 jobs 3 are paused. The pulse has not beaten yet.",
  ],
];
t.ledgerTest("the sentence over all names what is not healthy", async ({ sql }) => {
  for (const [counts, trouble, age, incident, expected] of sentences) {
    const sentence = await t.value(sql, "scheduler.status_sentence($1, $2, $3, $4)", [
      counts,
      trouble,
      age,
      incident,
    ]);
    assert.equal(sentence, expected);
  }
});

t.ledgerTest(
  "status has state, runs, lock, breaker, budgets and group of each job",
  async ({ sql }) => {
    await sql`select scheduler.register_group('night')`;
    await sql`select scheduler.register_budget('api', 100, '1 minute')`;
    await t.register(sql, "job", {
      group_name: "night",
      breaker_failures: 3,
      budgets: { api: 10 },
      alias: "the-job",
    });
    await t.register(sql, "off", { enabled: false });
    await t.pulse(sql, t.NOON);
    const [run] = await t.runs(sql, "job");
    await t.begin(sql, run!.id, t.NOON);
    const found = await status(sql, t.after(0.5));
    assert.deepEqual(found.counts, { healthy: 1, disabled: 1 });
    assert.equal(found.sentence, "Of 2 jobs 1 is disabled, 1 is healthy.");
    assert.equal(found.pulse_age_seconds, 30);
    assert.deepEqual([found.incident, found.next_cursor], [null, null]);
    const [job, off] = found.jobs;
    assert.equal(job.last_run.run_id, run!.id);
    assert.equal(job.lock.run_id, run!.id);
    assert.deepEqual(
      [job.job, job.alias, job.state, job.group, job.stopped_by, job.unsuccessful_occurrences],
      ["job", "the-job", "healthy", "night", null, 0],
    );
    assert.deepEqual(job.breaker, { state: "closed", failures: 0, opened_at: null });
    assert.deepEqual(job.budgets, { api: { tokens: 100, capacity: 100 } });
    assert.equal(Date.parse(job.next_run_at), t.after(1).getTime());
    assert.deepEqual([off.state, off.next_run_at, off.last_run, off.lock], [
      "disabled",
      null,
      null,
      null,
    ]);
  },
);

t.ledgerTest(
  "an outside clock may call jobs that serveJob() serves with the cron secret",
  async ({ sql }) => {
    await t.register(sql, "a-served");
    await t.register(sql, "b-answers", { receipt: "response" });
    await t.register(sql, "c-own-secret", { secret_name: "another" });
    await t.register(sql, "d-url", { target: "https://example.test/hook", receipt: "response" });
    const { jobs } = await status(sql, t.NOON);
    assert.deepEqual(jobs.map(({ callable }: { callable: boolean }) => callable), [
      true,
      false,
      false,
      false,
    ]);
  },
);

t.ledgerTest("a job is late, failing, waiting, overdue and stopped in turn", async ({ sql }) => {
  await t.register(sql, "job", { max_attempts: 2, backoff_base_seconds: 600 });
  const state = async (now: Date) => (await status(sql, now)).jobs[0];
  await sql`update scheduler_jobs set schedule = '0 * * * *'`;
  const run = await t.start(sql, "job", t.NOON);
  assert.equal((await state(t.after(1))).state, "healthy");
  assert.equal((await state(t.after(1.1))).state, "late", "it was sent and has not begun");
  await t.begin(sql, run, t.after(1.1));
  assert.equal((await state(t.after(1.2))).state, "healthy");
  await t.finish(sql, run, "failed", t.after(1.2));
  const failing = await state(t.after(1.3));
  assert.deepEqual([failing.state, failing.waits_for, failing.unsuccessful_occurrences], [
    "failing",
    "retry",
    1,
  ]);
  assert.equal((await state(t.after(61.1))).state, "overdue", "nobody recorded one o'clock");
  await sql`select scheduler.pause('job', 'a holiday', 'ann', p_now => ${t.after(62)})`;
  const paused = await state(t.after(63));
  assert.deepEqual([paused.state, paused.stopped_by], ["paused", "paused by ann: a holiday"]);
  await sql`select scheduler.start_incident('fire', 'bob', p_now => ${t.after(64)})`;
  const found = await status(sql, t.after(64));
  assert.equal(found.incident.started_by, "bob");
  assert.match(found.sentence, /^All jobs are stopped: incident called by bob: fire\. Of 1 job /);
});

t.ledgerTest("a job whose dependency is at work waits", async ({ sql }) => {
  await t.register(sql, "first");
  await t.register(sql, "second", { depends_on: ["first"] });
  await t.pulse(sql, t.NOON);
  const { jobs } = await status(sql, t.after(0.5));
  assert.deepEqual(
    jobs.map(({ state, waits_for }: { state: string; waits_for: string }) => [
      state,
      waits_for,
    ]),
    [["healthy", null], ["waiting", "dependency"]],
  );
});

t.ledgerTest("a page has 100 jobs, by name, and says how to ask for the next", async ({ sql }) => {
  await sql`
    insert into scheduler_jobs (name, target) select 'job-' || lpad(i::text, 3, '0'), 'job'
    from generate_series(1, 201) as i`;
  const names: string[] = [];
  const sizes: number[] = [];
  for (let cursor: string | null = null, page;; cursor = page.next_cursor) {
    page = await status(sql, t.NOON, cursor);
    assert.deepEqual(page.counts, { healthy: 201 }, "the sentence is over all");
    names.push(...page.jobs.map(({ job }: { job: string }) => job));
    sizes.push(page.jobs.length);
    if (page.next_cursor === null) break;
  }
  assert.deepEqual(sizes, [100, 100, 1]);
  assert.deepEqual(names, [...new Set(names)].sort());
});

t.ledgerTest("an alias is a name that no job and no other alias has", async ({ sql }) => {
  await t.register(sql, "one", { alias: "uno" });
  await t.register(sql, "two");
  const cases: [string, string | null, RegExp][] = [
    ["two", "one", /alias 'one' is the name of a job/],
    ["two", "uno", /alias 'uno' is that of one/],
    ["two", "two", /another name than the job's own/],
    ["uno", null, /its name is the alias of one/],
    ["two", "Uno", /alias must be 1 to 63 of a-z, 0-9, - and _.*got 'Uno'/],
    ["two", "", /alias must be 1 to 63/],
  ];
  for (const [name, alias, message] of cases) {
    const error = await refusal(t.register(sql, name, { alias }));
    assert.deepEqual([error.code, message.test(error.message)], ["22023", true], error.message);
  }
  await t.register(sql, "one", { alias: "eins" });
  await t.register(sql, "two", { alias: "uno" });
  await t.register(sql, "two", { alias: "uno" });
  const found = await sql`select name, alias from scheduler_jobs order by name`;
  assert.deepEqual([...found], [{ name: "one", alias: "eins" }, { name: "two", alias: "uno" }]);
  assert.equal(await t.value(sql, "(scheduler.job_named('uno')).name"), "two");
  assert.equal(await t.value(sql, "(scheduler.job_named('two')).name"), "two");
});
