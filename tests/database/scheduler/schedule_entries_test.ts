// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { type JobArgument, readJobArguments } from "../../../local/job-arguments.ts";
import { registration } from "../../../local/packs.ts";
import { readSchedulesText } from "../../../local/schedules.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "the arguments in the source are those that register_job has in the database",
  async ({ sql }) => {
    const inDatabase = await sql`
      select argument, type, default_value is null as is_required from scheduler.job_arguments()`;
    const inSource = await readJobArguments();
    assert.ok(inSource.length > 30, String(inSource.length));
    assert.deepEqual(
      [...inDatabase],
      inSource.map(({ argument, type, default_value }) => ({
        argument,
        type,
        is_required: default_value === null,
      })),
    );
  },
);

/** Of each argument a value that is not its default; an argument without one here fails the test that needs it. */
const samples: Record<string, unknown> = {
  name: "job",
  schedule: "@daily",
  time_zone: "Europe/Berlin",
  target: "another",
  description: "it's a \\ job",
  payload: { a: ["'", null, { b: "ü" }] },
  timeout_seconds: 61,
  max_attempts: 4,
  backoff_base_seconds: 31,
  backoff_cap_seconds: 901,
  overlap_policy: "allow",
  misfire_policy: "all",
  misfire_grace_seconds: 301,
  misfire_cap: 25,
  receipt: "response",
  secret_name: "another_secret",
  parallel_limit: 4,
  run_if: "scheduler.sample",
  enabled: false,
  group_name: "group",
  depends_on: ["before"],
  dependency_timeout_seconds: 21601,
  on_dependency_timeout: "run",
  on_dependency_failure: "run",
  key_limit: 2,
  priority: 1,
  priority_ages_after_seconds: 301,
  budgets: { budget: 1 },
  breaker_failures: 3,
  breaker_cooldown_seconds: 301,
  idle_seconds: 31,
  jitter_seconds: 5,
  calendars: ["calendar"],
  alias: "other-name",
  defer_if: "scheduler.sample",
  defer_at_most_seconds: 901,
  stretch_after: 3,
  stretch_at_most_seconds: 7200,
  parallel_least: 2,
  figures: ["rows"],
};
/** What an argument needs beside it. */
const needs: Record<string, Record<string, unknown>> = {
  parallel_limit: { overlap_policy: "allow" },
  key_limit: { overlap_policy: "allow" },
  dependency_timeout_seconds: { depends_on: ["before"] },
  on_dependency_timeout: { depends_on: ["before"] },
  on_dependency_failure: { depends_on: ["before"] },
  breaker_cooldown_seconds: { breaker_failures: 3 },
  idle_seconds: { schedule: "@continuous" },
  defer_at_most_seconds: { defer_if: "scheduler.sample" },
  stretch_after: { stretch_at_most_seconds: 7200 },
  stretch_at_most_seconds: { stretch_after: 3 },
  parallel_least: { overlap_policy: "allow", parallel_limit: 4 },
};

t.ledgerTest(
  "each argument of register_job can stand in schedules.json, and becomes what it is by name",
  async ({ sql }) => {
    await sql.unsafe(`
      create function scheduler.sample(p_at timestamptz) returns boolean language sql as 'select true';
      select scheduler.register_group('group');
      select scheduler.register_calendar('calendar');
      select scheduler.register_budget('budget', 10, '1 hour');
      select scheduler.register_job('before', '@daily');`);
    const args = [...await sql<JobArgument[]>`select * from scheduler.job_arguments()`];
    const missing = args.map(({ argument }) => argument).filter((name) => !(name in samples));
    assert.deepEqual(missing, [], "give each new argument a sample");
    for (const { argument } of args) {
      const entry = {
        name: "job",
        schedule: "@daily",
        [argument]: samples[argument],
        ...needs[argument],
      };
      const text = JSON.stringify({ own: [entry] });
      const { sections } = readSchedulesText("s.json", text, args);
      const [read] = sections.own!;
      const value = async () => {
        const [row] = await sql`
          select to_jsonb(jobs) -> ${argument} as value from scheduler_jobs as jobs where name = 'job'`;
        return row!.value;
      };
      await sql.unsafe(registration("own", read!));
      assert.deepEqual(await value(), samples[argument], argument);
      await sql`select scheduler.unregister_job('job')`;
    }
  },
);

t.ledgerTest(
  "a migration registers the interval of the file, and nothing of what is no argument",
  async ({ sql }) => {
    const entry = {
      name: "job",
      schedule: "*/5 * * * *",
      why: "so",
      shares: "because",
      interval_from: { variable: "POLL", unit: "seconds" as const },
    };
    await sql.unsafe(registration("own", entry));
    const [row] = await sql`select schedule from scheduler_jobs`;
    assert.equal(row!.schedule, "*/5 * * * *");
  },
);

t.ledgerTest("an unknown argument is refused, and nothing is registered", async ({ sql }) => {
  const { code, message } = await refusal(
    sql`select scheduler.register_entry('own', '{"name": "a", "schedule": null, "timezone": 1, "x": 2}')`,
  );
  assert.deepEqual([code, message], [
    "22023",
    "cannot register the job a: register_job has no argument timezone, x",
  ]);
  assert.equal((await sql`select from scheduler_jobs`).length, 0);
});

t.ledgerTest(
  "a new version's entry replaces the old one, but not what somebody changed or took out",
  async ({ sql }) => {
    for (const name of ["same", "changed", "gone"]) {
      await sql`select scheduler.register_entry('own', ${sql.json({ name, schedule: "@daily" })})`;
    }
    await sql`select scheduler.register_job('in-sql', '@daily')`;
    // As of a version before that argument.
    await sql`update scheduler.job_sources set applied = applied - 'figures'`;
    await sql`select scheduler.register_job('changed', '@daily', timeout_seconds => 60)`;
    await sql`select scheduler.unregister_job('gone')`;
    for (const name of ["same", "changed", "gone", "in-sql"]) {
      await sql`select scheduler.renew_entry('own', ${sql.json({ name, schedule: "@hourly" })})`;
    }
    const jobs =
      await sql`select name, schedule, timeout_seconds as t from scheduler_jobs order by 1`;
    assert.deepEqual(jobs.map(({ name, schedule, t }) => `${name} ${schedule} ${t}`), [
      "changed @daily 60",
      "in-sql @daily 120",
      "same @hourly 120",
    ]);
  },
);

t.ledgerTest(
  "of a job that a version before registered is noted what that registered, whatever people made of it since",
  async ({ sql }) => {
    const entry = { name: "a", schedule: "@daily", payload: { n: 1 } };
    const values = async () =>
      (await sql`
        select scheduler.registered_values(jobs) as values from scheduler_jobs as jobs where name = 'a'`)[
        0
      ]!.values;
    await sql`select scheduler.register_entry('own', ${sql.json(entry)})`;
    const registered = await values();
    await sql`select scheduler.register_job('a', '@continuous', alias => 'b', target => 'another')`;
    await sql`delete from scheduler.job_sources`;
    await sql`select scheduler.note_entry('own', ${sql.json(entry)})`;
    await sql`select scheduler.note_entry('own', '{"name": "gone", "schedule": "@daily"}')`;
    const rows = await sql`select job_name, source, applied from scheduler.job_sources`;
    assert.deepEqual([...rows], [{ job_name: "a", source: "own", applied: registered }]);
    const jobs = await sql`select name, schedule, continuous from scheduler_jobs`;
    assert.deepEqual([...jobs], [{ name: "a", schedule: null, continuous: true }]);
  },
);

t.ledgerTest("what is wrong with the entry of a version before is said", async ({ sql }) => {
  await sql`select scheduler.register_job('a', '@daily')`;
  const { message } = await refusal(
    sql`select scheduler.note_entry('own', '{"name": "a", "schedule": "never"}')`,
  );
  assert.match(message, /^cannot read the schedule "never"/);
});
