import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

interface Broken {
  job: string;
  failed: number;
  missed: number;
  first_at: string;
  last_run: { run_id: string; status: string; verdict: string };
  remedy: string | null;
  retry: { status: string; attempt: number } | null;
  next_run_at: string | null;
}

async function failures(sql: Sql, now: Date, since: Date | null = null): Promise<Broken[]> {
  return (await t.value(sql, "scheduler.api_failures($1, null, $2)", [since, now])).jobs;
}

/** A run of the job at that minute that ends so a second later. */
async function end(sql: Sql, job: string, minute: number, status: "completed" | "failed") {
  const run = await t.start(sql, job, t.after(minute));
  await t.begin(sql, run, t.after(minute));
  await t.finish(sql, run, status, t.after(minute + 1 / 60));
  return run;
}

t.ledgerTest(
  "a job is broken from its first failure to its next completed run",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "*/5 * * * *", max_attempts: 1 });
    const name = async (minute: number) =>
      (await failures(sql, t.after(minute))).map(({ job }) => job);
    await end(sql, "job", 0, "completed");
    assert.deepEqual(await name(1), []);
    await end(sql, "job", 5, "failed");
    const last = await end(sql, "job", 10, "failed");
    const [broken] = await failures(sql, t.after(11));
    assert.deepEqual(
      [
        broken!.failed,
        broken!.missed,
        new Date(broken!.first_at),
        broken!.last_run.run_id,
        broken!.retry,
      ],
      [2, 0, t.after(5 + 1 / 60), last, null],
    );
    assert.match(broken!.remedy!, /error_message/);
    assert.equal(new Date(broken!.next_run_at!).getTime(), t.after(15).getTime());
    await end(sql, "job", 15, "completed");
    assert.deepEqual(await name(16), [], "mended");
  },
);

t.ledgerTest(
  "attempts at one occurrence count once, and the one to come is told",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "*/5 * * * *", max_attempts: 3 });
    await end(sql, "job", 0, "failed");
    const [broken] = await failures(sql, t.after(1));
    assert.deepEqual([broken!.failed, broken!.retry?.status, broken!.retry?.attempt], [
      1,
      "queued",
      2,
    ]);
  },
);

t.ledgerTest("missed occurrences count each, also where a row stands for many", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "*/5 * * * *" });
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, scheduled_until, occurrences, completed_at,
      created_at, verdict)
    values ('job', 'missed', 'cron', ${t.after(-60)}, ${
    t.after(-5)
  }, 12, ${t.NOON}, ${t.NOON}, 'missed')`;
  const [broken] = await failures(sql, t.after(1));
  assert.deepEqual([broken!.failed, broken!.missed, broken!.last_run.status], [0, 12, "missed"]);
});

t.ledgerTest(
  "what broke before the time that is asked for is left out; by default that is a day",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "*/5 * * * *", max_attempts: 1 });
    await end(sql, "job", 0, "failed");
    const day = 24 * 60;
    assert.equal((await failures(sql, t.after(day))).length, 1);
    assert.equal((await failures(sql, t.after(day + 1))).length, 0);
    assert.equal((await failures(sql, t.after(day + 1), t.NOON)).length, 1);
  },
);

t.ledgerTest("100 broken jobs are a page", async ({ sql }) => {
  await sql`
    insert into scheduler_jobs (name, target, schedule)
    select 'job-' || lpad(i::text, 3, '0'), 'job', '@yearly' from generate_series(1, 101) as i`;
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict)
    select name, 'failed', 'cron', ${t.NOON}, ${t.NOON}, 'job_error' from scheduler_jobs where name like 'job-%'`;
  const page = (cursor: string | null) =>
    t.value(sql, "scheduler.api_failures(null, $1, $2)", [cursor, t.after(1)]);
  const first = await page(null);
  assert.deepEqual([first.jobs.length, first.next_cursor], [100, "job-100"]);
  const second = await page(first.next_cursor);
  assert.deepEqual([second.jobs.length, second.jobs[0].job, second.next_cursor], [
    1,
    "job-101",
    null,
  ]);
});
