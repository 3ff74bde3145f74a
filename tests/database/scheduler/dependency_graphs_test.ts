// Random graphs of jobs that depend on each other, against a model that is written from the design's words alone.
import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { cases } from "../../support/cases.ts";
import { type Random, seededRandom } from "../../support/random.ts";
import * as t from "../../support/scheduler.ts";

const JOBS = 200;

type End = "completed" | "failed" | "cancelled" | "never";

interface Job {
  name: string;
  /** Minutes after noon; null: it has the occurrences of its dependencies. */
  minutes: number[] | null;
  dependsOn: Job[];
  policy: "skip" | "run";
  maxAttempts: number;
  /** Nobody looks at its occurrences in time. */
  missed: boolean;
}

function randomGraph(random: Random): Job[] {
  const jobs: Job[] = [];
  for (let n = 0; n < JOBS; n++) {
    const wide = random.chance(0.3) ? jobs.length : 20;
    const dependsOn = new Set<Job>();
    for (let count = n < 10 ? 0 : random.whole(0, 3); count > 0; count--) {
      dependsOn.add(random.pick(jobs.slice(-wide)));
    }
    const missed = random.chance(0.05);
    const minutes = dependsOn.size > 0 && !missed && random.chance(0.4)
      ? null
      : missed
      ? [-40]
      : random.pick([[0], [1], [2], [3], [0, 2], [1, 3]]);
    jobs.push({
      // The order of the names says nothing of the order of the graph.
      name: `${random.whole(0, 1e6).toString(36)}-${n}`,
      minutes,
      dependsOn: [...dependsOn],
      policy: random.pick(["skip", "run"]),
      maxAttempts: random.whole(1, 3),
      missed,
    });
  }
  return jobs;
}

/** As register_job writes them, which takes longer for 200 than the test should. */
async function write(sql: Sql, jobs: Job[]): Promise<void> {
  await sql.unsafe(
    `insert into scheduler_jobs (name, target, schedule, cron_entry, next_run_at, depends_on, dependents,
       on_dependency_failure, max_attempts, overlap_policy, misfire_policy, misfire_grace_seconds, backoff_base_seconds,
       backoff_cap_seconds, timeout_seconds, created_at)
     select name, 'job', schedule, schedule, next_run_at, depends_on, dependents, policy, max_attempts, 'allow', 'skip',
       900, 1, 1, 86400, '2025-01-01Z'
     from jsonb_to_recordset($1::jsonb) as jobs (name text, schedule text, next_run_at timestamptz, depends_on text[],
       dependents text[], policy text, max_attempts integer)`,
    [
      jobs.map((job) => ({
        name: job.name,
        schedule: job.minutes === null
          ? null
          : job.missed
          ? "20 11 * * *"
          : `${job.minutes.join(",")} 12 * * *`,
        next_run_at: job.minutes === null ? null : t.after(job.minutes[0]!),
        depends_on: job.dependsOn.map((other) => other.name),
        dependents: jobs.filter((other) => other.dependsOn.includes(job)).map((other) =>
          other.name
        ),
        policy: job.policy,
        max_attempts: job.maxAttempts,
      })) as never,
    ],
  );
}

class Model {
  #occurrences = new Map<Job, number[]>();
  #ends = new Map<string, End[]>();
  #states = new Map<string, string>();

  constructor(readonly jobs: Job[], random: Random) {
    for (const job of jobs) {
      for (const minute of this.occurrences(job)) {
        const ends: End[] = [];
        while (ends.length < job.maxAttempts && (ends.at(-1) ?? "failed") === "failed") {
          ends.push(
            random.pick<End>([
              "completed",
              "completed",
              "completed",
              "completed",
              "failed",
              "failed",
              "cancelled",
            ]),
          );
        }
        if (random.chance(0.04)) ends[ends.length - 1] = "never";
        this.#ends.set(`${job.name} ${minute}`, ends);
      }
    }
  }

  /** A job without a schedule runs once for each occurrence of its dependencies. */
  occurrences(job: Job): number[] {
    let found = this.#occurrences.get(job);
    if (found === undefined) {
      found = [...new Set(job.minutes ?? job.dependsOn.flatMap((other) => this.occurrences(other)))]
        .sort((one, other) => one - other);
      this.#occurrences.set(job, found);
    }
    return found;
  }

  end(name: string, minute: number, attempt: number): End {
    return this.#ends.get(`${name} ${minute}`)![attempt - 1]!;
  }

  /** What has become of an occurrence when nothing more happens. */
  state(job: Job, minute: number): string {
    const key = `${job.name} ${minute}`;
    let state = this.#states.get(key);
    if (state === undefined) this.#states.set(key, state = this.#decide(job, minute));
    return state;
  }

  #decide(job: Job, minute: number): string {
    if (job.missed) return "missed";
    const answers = job.dependsOn.map((other) => {
      const newest = this.occurrences(other).findLast((each) => each <= minute);
      if (newest === undefined) return "go";
      const state = this.state(other, newest);
      if (state === "completed") return "go";
      if (state === "waits" || state === "under way") return "wait";
      return job.policy === "run" ? "go" : "skip";
    });
    if (answers.includes("skip")) return "skipped";
    if (answers.includes("wait")) return "waits";
    const end = this.#ends.get(`${job.name} ${minute}`)!.at(-1)!;
    return end === "never" ? "under way" : end;
  }

  /** Each row that the ledger is to have: job, minute, attempt and status. */
  rows(): string[] {
    const rows: string[] = [];
    for (const job of this.jobs) {
      for (const minute of this.occurrences(job)) {
        const state = this.state(job, minute);
        const ends = ["missed", "skipped", "waits"].includes(state)
          ? [state === "waits" ? "queued" : state]
          : this.#ends.get(`${job.name} ${minute}`)!.map((end) =>
            end === "never" ? "running" : end
          );
        for (const [index, status] of ends.entries()) {
          rows.push(`${job.name} ${minute} ${index + 1} ${status}`);
        }
      }
    }
    return rows.sort();
  }
}

const minuteOf = (run: Row) => (run.scheduled_for.getTime() - t.NOON.getTime()) / 60_000;

/** All that was sent begins, and what is at work says so. */
async function live(sql: Sql, now: Date): Promise<void> {
  await sql`select scheduler.begin_run(id, 'job', '', ${now}) from scheduler_runs where status = 'dispatched'`;
  await sql`update scheduler_runs set heartbeat_at = ${now} where status = 'running'`;
}

async function endOne(sql: Sql, model: Model, random: Random, now: Date): Promise<boolean> {
  const running =
    (await sql`select id, job_name, scheduled_for, attempt from scheduler_runs where status = 'running'`)
      .filter((run) => model.end(run.job_name, minuteOf(run), run.attempt) !== "never");
  if (running.length === 0) return false;
  const run = random.pick(running);
  const end = model.end(run.job_name, minuteOf(run), run.attempt);
  if (end === "cancelled") await sql`select scheduler.cancel_run(${run.id}, 'why', 'ann', ${now})`;
  else assert.equal((await t.finish(sql, run.id, end, now)).finished, true);
  return true;
}

async function simulate(sql: Sql, model: Model, random: Random): Promise<void> {
  const scheduled = model.jobs.filter((job) => job.minutes !== null);
  let seconds = 0;
  let quiet = 0;
  while (quiet < 3) {
    const now = () => t.after((seconds += random.whole(1, 900) / 1000) / 60);
    const verb = random.whole(0, 99);
    if (verb < 4) {
      await live(sql, now());
      await t.dispatch(sql, random.pick(scheduled).name, now());
    } else if (verb < 8) {
      await live(sql, now());
      await t.pulse(sql, now());
    } else if (!await endOne(sql, model, random, now())) {
      // Nothing to end: on to what is due next, to the retries, to the wakes.
      await live(sql, now());
      await t.pulse(sql, now());
      const [row] = await sql`
        select (select count(*) from scheduler_runs where status = 'dispatched')
          + (select count(*) from scheduler_runs where trigger = 'retry' and status = 'queued') as alive`;
      quiet = seconds > 240 && Number(row!.alive) === 0 ? quiet + 1 : 0;
      seconds += 5;
      await live(sql, now());
    }
  }
}

/** From the ledger alone: what was sent before that had ended for which it had to wait. */
const tooEarly = (sql: Sql) =>
  sql`
    select runs.job_name, runs.scheduled_for, needed.name, newest.scheduled_for as of
    from scheduler_runs as runs
      join scheduler_jobs as jobs on jobs.name = runs.job_name
      join scheduler_jobs as needed on needed.name = any (jobs.depends_on),
      lateral (select max(scheduled_for) as scheduled_for from scheduler_runs
        where job_name = needed.name and scheduled_for <= runs.scheduled_for) as newest
    where runs.dispatched_at is not null and newest.scheduled_for is not null
      and case jobs.on_dependency_failure
        when 'skip' then not exists (
          select from scheduler_runs where job_name = needed.name and scheduled_for = newest.scheduled_for
            and status = 'completed' and completed_at <= runs.dispatched_at)
        else exists (
          select from scheduler_runs where job_name = needed.name and scheduled_for = newest.scheduled_for
            and (completed_at is null or completed_at > runs.dispatched_at)) end`;

for (const seed of [1, 2, 3].slice(0, cases(3, 1))) {
  t.ledgerTest(`graph ${seed} of ${JOBS} jobs comes out as the model's`, async ({ sql }) => {
    const random = seededRandom(seed);
    const model = new Model(randomGraph(random), random);
    await write(sql, model.jobs);
    await simulate(sql, model, random);
    const rows = await sql`select job_name, scheduled_for, attempt, status from scheduler_runs`;
    assert.deepEqual(
      rows.map((row) => `${row.job_name} ${minuteOf(row)} ${row.attempt} ${row.status}`).sort(),
      model.rows(),
    );
    const seen = new Set(rows.map((row) => row.status));
    assert.deepEqual([...seen].sort(), [
      "cancelled",
      "completed",
      "failed",
      "missed",
      "queued",
      "running",
      "skipped",
    ]);
    assert.deepEqual([...await tooEarly(sql)], []);
    await t.assertInvariants(sql);
  });
}
