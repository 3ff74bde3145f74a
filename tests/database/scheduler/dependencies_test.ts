import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const HOURLY = { schedule: "0 * * * *" };
const at = (minutes: number) => t.after(minutes);

/** Two hourly jobs, the second of which depends on the first. */
async function upAndDown(
  sql: Sql,
  up: Record<string, unknown> = {},
  down: Record<string, unknown> = {},
): Promise<void> {
  await t.register(sql, "up", { ...HOURLY, max_attempts: 1, ...up });
  await t.register(sql, "down", { ...HOURLY, depends_on: ["up"], ...down });
}

/** The job's newest run. */
async function newest(sql: Sql, job: string): Promise<Row> {
  return (await t.runs(sql, job)).at(-1)!;
}

/** The job's run that is under way begins and ends. */
async function end(
  sql: Sql,
  job: string,
  outcome: string,
  now: Date,
  retryable = true,
): Promise<void> {
  const live = (await t.runs(sql, job)).find((row) => row.status === "dispatched");
  assert.ok(live, `${job} has no run under way`);
  assert.equal((await t.begin(sql, live.id, now, job)).begun, true);
  assert.equal((await t.finish(sql, live.id, outcome, now, retryable)).finished, true);
}

/** What the one run of the job waits for, with moments. */
async function waiting(sql: Sql, job: string) {
  const run = await newest(sql, job);
  assert.equal(run.status, "queued");
  const { since, until, ...rest } = run.waiting;
  return { ...rest, since: new Date(since), until: until === null ? null : new Date(until) };
}

const explain = (sql: Sql, job: string, now: Date): Promise<string> =>
  t.value(sql, "scheduler.explain($1, null, $2)", [job, now]);

const STARTED = ["dispatched cron 1"];
const QUEUED = ["queued cron 1"];

t.ledgerTest(
  "an occurrence waits for its dependency and says so in one column",
  async ({ sql }) => {
    await upAndDown(sql);
    await t.dispatch(sql, "up");
    assert.deepEqual(await t.summary(sql, "up"), STARTED);
    assert.deepEqual(await t.summary(sql, "down"), QUEUED);
    assert.deepEqual(await waiting(sql, "down"), {
      for: "dependency",
      name: "up",
      since: t.NOON,
      until: at(360),
    });
    assert.equal(
      await explain(sql, "down", at(1)),
      "down has not run for 2026-03-02 12:00 UTC yet: attempt 1 of 3 waits for up, until 18:00:00.",
    );
    assert.equal((await t.requests(sql)).length, 1);
  },
);

t.ledgerTest(
  "it is sent in the transaction in which the last of its dependencies ends",
  async ({ sql }) => {
    await t.register(sql, "a", HOURLY);
    await t.register(sql, "b", HOURLY);
    await t.register(sql, "down", { ...HOURLY, depends_on: ["a", "b"] });
    await t.dispatch(sql, "a");
    await end(sql, "a", "completed", at(1));
    assert.equal((await waiting(sql, "down")).name, "b");
    assert.deepEqual((await waiting(sql, "down")).since, t.NOON, "it goes on waiting, not anew");
    const b = await newest(sql, "b");
    await t.begin(sql, b.id, at(1), "b");
    await sql.begin(async (transaction) => {
      await t.finish(transaction, b.id, "completed", at(2));
      assert.deepEqual(await t.summary(transaction, "down"), STARTED);
      assert.equal((await t.requests(transaction)).length, 3);
    });
    assert.equal((await newest(sql, "down")).waiting, null);
    await t.assertInvariants(sql);
  },
);

t.ledgerTest("an answer that ends the dependency sends what waits for it", async ({ sql }) => {
  await upAndDown(sql, { receipt: "response" });
  await t.dispatch(sql, "up");
  await t.answer(sql, (await newest(sql, "up")).id, { status: 200 }, at(1));
  await t.pulse(sql, at(1));
  assert.deepEqual(await t.summary(sql, "up"), ["completed cron 1 ok"]);
  assert.deepEqual(await t.summary(sql, "down"), STARTED);
});

t.ledgerTest("a verdict of silence ends the dependency for those who wait", async ({ sql }) => {
  await upAndDown(sql, {}, { on_dependency_failure: "run" });
  await t.dispatch(sql, "up");
  await t.pulse(sql, at(3));
  assert.deepEqual(await t.summary(sql, "up"), ["failed cron 1 not_sent"]);
  assert.deepEqual(await t.summary(sql, "down"), STARTED);
});

t.ledgerTest("an operator who cancels the dependency lets the others decide", async ({ sql }) => {
  await upAndDown(sql);
  await t.register(sql, "other", {
    ...HOURLY,
    depends_on: ["up"],
    on_dependency_failure: "run",
  });
  await t.dispatch(sql, "up");
  await t.value(sql, "scheduler.cancel_run($1, 'why', 'ann', $2)", [
    (await newest(sql, "up")).id,
    at(1),
  ]);
  assert.deepEqual(await t.summary(sql, "down"), ["skipped cron 1"]);
  assert.equal((await newest(sql, "down")).skip_kind, "dependency");
  assert.equal((await newest(sql, "down")).skip_reason, "dependency: up was cancelled");
  assert.deepEqual(await t.summary(sql, "other"), STARTED);
});

t.ledgerTest("cancelling what waits of the dependency is an end, too", async ({ sql }) => {
  await t.register(sql, "top", { ...HOURLY, max_attempts: 1 });
  await t.register(sql, "up", { ...HOURLY, depends_on: ["top"] });
  await t.register(sql, "down", { ...HOURLY, depends_on: ["up"] });
  await t.dispatch(sql, "down");
  assert.deepEqual(await t.summary(sql, "down"), QUEUED);
  await t.value(sql, "scheduler.cancel_queued('up', 'why', 'ann', $1)", [at(1)]);
  assert.equal((await newest(sql, "down")).skip_reason, "dependency: up was cancelled");
});

t.ledgerTest("while the dependency has attempts left its dependents wait", async ({ sql }) => {
  await upAndDown(sql, { max_attempts: 2, backoff_base_seconds: 1 });
  await t.dispatch(sql, "up");
  await end(sql, "up", "failed", at(1));
  assert.deepEqual(await t.summary(sql, "up"), ["failed cron 1 job_error", "queued retry 2"]);
  assert.deepEqual(await t.summary(sql, "down"), QUEUED);
  await t.pulse(sql, at(2));
  await end(sql, "up", "completed", at(3));
  assert.deepEqual(await t.summary(sql, "down"), STARTED);
});

t.ledgerTest("the last attempt that fails is a failure", async ({ sql }) => {
  await upAndDown(sql, { max_attempts: 2, backoff_base_seconds: 1 });
  await t.dispatch(sql, "up");
  await end(sql, "up", "failed", at(1));
  await t.pulse(sql, at(2));
  await end(sql, "up", "failed", at(3));
  const down = await newest(sql, "down");
  assert.deepEqual([down.status, down.skip_kind], ["skipped", "dependency"]);
  assert.equal(down.skip_reason, "dependency: up failed");
  assert.equal(
    await explain(sql, "down", at(3)),
    "down was skipped at 2026-03-02 12:00 UTC: dependency: up failed.",
  );
});

t.ledgerTest(
  "a deferred run is not the end of its occurrence, its continuation is",
  async ({ sql }) => {
    await upAndDown(sql);
    await t.dispatch(sql, "up");
    const first = await newest(sql, "up");
    await t.begin(sql, first.id, at(1), "up");
    await sql`select scheduler.finish_run(${first.id}, 'deferred', p_resume_at => ${
      at(5)
    }, p_now => ${at(2)})`;
    assert.deepEqual(await t.summary(sql, "up"), ["deferred cron 1", "queued deferred 2"]);
    assert.deepEqual(await t.summary(sql, "down"), QUEUED);
    await t.pulse(sql, at(5));
    await end(sql, "up", "completed", at(6));
    assert.deepEqual(await t.summary(sql, "down"), STARTED);
  },
);

for (const first of ["up", "down"]) {
  t.ledgerTest(
    `the occurrence of the same minute counts, also when ${first} is dispatched first`,
    async (db) => {
      const { sql } = db;
      await upAndDown(sql);
      await t.dispatch(sql, "up");
      await end(sql, "up", "completed", at(1));
      await end(sql, "down", "completed", at(1));
      const other = first === "up" ? "down" : "up";
      const holder = await db.sql.reserve();
      await holder`begin`;
      await holder`select from scheduler_jobs where name = ${other} for no key update`;
      await t.dispatch(t.impatient(db), first, at(60));
      await holder`commit`;
      holder.release();
      assert.equal((await t.runs(sql, other)).length, 1, "the other one was held");
      assert.equal((await newest(sql, first)).status, first === "up" ? "dispatched" : "queued");
      await t.dispatch(sql, other, at(60));
      assert.deepEqual((await newest(sql, "up")).scheduled_for, at(60));
      assert.equal((await newest(sql, "up")).status, "dispatched");
      assert.equal((await waiting(sql, "down")).name, "up");
      await end(sql, "up", "completed", at(61));
      assert.equal((await newest(sql, "down")).status, "dispatched");
    },
  );
}

t.ledgerTest(
  "an older occurrence of the dependency is enough where none is newer",
  async ({ sql }) => {
    await t.register(sql, "up", { schedule: "0 9 * * *" }, at(-180));
    await t.register(sql, "down", { ...HOURLY, depends_on: ["up"] });
    await t.dispatch(sql, "up", at(-180));
    await end(sql, "up", "completed", at(-170));
    await t.dispatch(sql, "down");
    assert.deepEqual(await t.summary(sql, "down"), STARTED);
  },
);

t.ledgerTest(
  "a newer occurrence of the dependency than its own does not matter",
  async ({ sql }) => {
    await t.register(sql, "up", { schedule: "0,30 * * * *", max_attempts: 1 });
    await t.register(sql, "down", { ...HOURLY, depends_on: ["up"] });
    const holder = await t.dispatch(sql, "up");
    assert.ok(holder);
    await end(sql, "up", "completed", at(1));
    assert.deepEqual(await t.summary(sql, "down"), STARTED);
    await end(sql, "down", "completed", at(2));
    await t.dispatch(sql, "up", at(30));
    await end(sql, "up", "failed", at(31));
    await t.register(sql, "late", { ...HOURLY, depends_on: ["up"], misfire_grace_seconds: 7200 });
    await t.pulse(sql, at(40));
    assert.equal((await newest(sql, "late")).status, "dispatched", "12:00 of up has completed");
  },
);

t.ledgerTest("a dependency that was never due is not waited for", async ({ sql }) => {
  await t.register(sql, "up", { schedule: "0 9 1 1 *" }, at(60 * 24 * 300));
  await t.register(sql, "down", { ...HOURLY, depends_on: ["up"] });
  await t.dispatch(sql, "down");
  assert.deepEqual(await t.summary(sql, "down"), STARTED);
});

t.ledgerTest(
  "an occurrence that run_if turned away does not count, the one before it does",
  async ({ sql }) => {
    await sql.unsafe(`
      create function public.wanted(p_at timestamptz) returns boolean language sql as
      $$ select p_at <= '2026-03-02T12:00:00Z' $$`);
    await upAndDown(sql, { run_if: "public.wanted", timeout_seconds: 7200 });
    const up = await t.start(sql, "up");
    await t.begin(sql, up, at(1), "up");
    await t.heartbeat(sql, up, at(60));
    await t.dispatch(sql, "down", at(60));
    assert.equal((await t.runs(sql, "up")).length, 1);
    assert.equal((await t.runs(sql, "down")).length, 2);
    await t.finish(sql, up, "failed", at(61));
    // Both wait for 12:00, the one because of its own time, the other as 13:00 had no work.
    assert.deepEqual((await t.runs(sql, "down")).map((row) => row.skip_kind), [
      "dependency",
      "overlap",
    ]);
    await t.dispatch(sql, "up", at(120));
    assert.equal((await newest(sql, "down")).skip_reason, "dependency: up failed");
    assert.deepEqual((await newest(sql, "down")).scheduled_for, at(120));
  },
);

t.ledgerTest(
  "an occurrence that a calendar turned away does not count, the one before it does",
  async ({ sql }) => {
    await sql`select scheduler.register_calendar('freeze')`;
    await sql`select scheduler.add_calendar_span('freeze', 'freeze', 'ann', '2026-03-02 13:00', '2026-03-02 14:00')`;
    await upAndDown(sql, { calendars: ["freeze"] });
    await t.dispatch(sql, "up");
    await end(sql, "up", "completed", at(1));
    await end(sql, "down", "completed", at(1));
    await t.dispatch(sql, "down", at(60));
    assert.deepEqual(await t.summary(sql, "up"), ["completed cron 1 ok", "skipped cron 1"]);
    assert.equal((await newest(sql, "up")).skip_kind, "calendar");
    assert.equal((await newest(sql, "down")).status, "dispatched");
  },
);

for (const outcome of ["completed", "failed"]) {
  t.ledgerTest(
    `an occurrence skipped for overlap stands for the run it overlapped, here one that ${outcome}`,
    async ({ sql }) => {
      await upAndDown(sql, { timeout_seconds: 7200 });
      const up = await t.start(sql, "up");
      await t.begin(sql, up, at(1), "up");
      await t.value(sql, "scheduler.cancel_queued('down', 'why', 'ann', $1)", [at(1)]);
      await t.heartbeat(sql, up, at(60));
      await t.dispatch(sql, "down", at(60));
      const overlapped = await newest(sql, "up");
      assert.deepEqual([overlapped.skip_kind, overlapped.stands_for], ["overlap", up]);
      assert.equal((await waiting(sql, "down")).name, "up");
      await t.finish(sql, up, outcome, at(61));
      const down = await newest(sql, "down");
      assert.deepEqual(
        [down.status, down.skip_reason],
        outcome === "completed" ? ["dispatched", null] : ["skipped", "dependency: up failed"],
      );
    },
  );
}

t.ledgerTest("an occurrence in a gap row is missed", async ({ sql }) => {
  await t.register(
    sql,
    "up",
    { schedule: "* * * * *", misfire_policy: "skip", misfire_grace_seconds: 0 },
    at(-60 * 24 * 2),
  );
  await t.pulse(sql, t.after(0.5, at(-5)));
  const [gap] = await t.runs(sql, "up");
  assert.ok(gap!.occurrences > 1000, "one row for the gap");
  await sql`update scheduler_jobs set next_run_at = ${at(600)} where name = 'up'`;
  await sql`delete from scheduler_runs where job_name = 'up' and occurrences = 1`;
  await t.register(sql, "down", { ...HOURLY, depends_on: ["up"] });
  await t.dispatch(sql, "down");
  assert.equal((await newest(sql, "down")).skip_reason, "dependency: up was missed");
});

t.ledgerTest(
  "a run in the middle of a gap, from before the cursor was put back, is not its newest occurrence",
  async ({ sql }) => {
    await t.register(sql, "up", { schedule: "* * * * *", misfire_policy: "skip" }, at(-3000));
    await t.dispatch(sql, "up", at(-3000));
    await end(sql, "up", "completed", at(-2999.5));
    await sql`update scheduler_jobs set next_run_at = ${at(-4500)} where name = 'up'`;
    await t.pulse(sql, at(-10));
    assert.equal((await t.runs(sql, "up")).filter((row) => row.occurrences > 1).length, 1);
    await sql`delete from scheduler_runs where job_name = 'up' and occurrences = 1 and scheduled_for > ${
      at(-3000)
    }`;
    await sql`update scheduler_jobs set next_run_at = ${at(600)} where name = 'up'`;
    await t.register(sql, "down", { ...HOURLY, depends_on: ["up"] });
    await t.dispatch(sql, "down");
    assert.equal((await newest(sql, "down")).skip_reason, "dependency: up was missed");
  },
);

t.ledgerTest(
  "a dependency that was missed leaves its dependents to their policy",
  async ({ sql }) => {
    await upAndDown(sql, { misfire_policy: "skip", misfire_grace_seconds: 60 });
    await t.register(sql, "other", { ...HOURLY, depends_on: ["up"], on_dependency_failure: "run" });
    await sql`update scheduler_jobs set misfire_grace_seconds = 86400 where name <> 'up'`;
    await t.pulse(sql, at(30));
    assert.deepEqual(await t.summary(sql, "up"), ["missed cron 1"]);
    assert.equal((await newest(sql, "down")).skip_reason, "dependency: up was missed");
    assert.equal((await newest(sql, "other")).status, "dispatched");
  },
);

t.ledgerTest(
  "runs by hand and enqueued runs are no occurrences, nor are their retries",
  async ({ sql }) => {
    await upAndDown(sql, { max_attempts: 2, backoff_base_seconds: 900, overlap_policy: "allow" });
    await t.dispatch(sql, "up");
    await end(sql, "up", "completed", at(1));
    await end(sql, "down", "completed", at(1));
    await t.value(sql, "scheduler.run_now('up', 'ann', null, $1)", [at(30)]);
    // The wait of a retry is random: as if both were still alive at 13:00.
    const retryLate = () =>
      sql`update scheduler_runs set run_after = ${at(90)} where trigger = 'retry'`;
    await end(sql, "up", "failed", at(31.9));
    await retryLate();
    await t.value(sql, "scheduler.enqueue_runs('up', '[{}]', null, $1)", [at(32)]);
    await end(sql, "up", "failed", at(32.1));
    await retryLate();
    const retries = (await t.runs(sql, "up")).filter((row) => row.trigger === "retry");
    assert.equal(retries.length, 2);
    // Without the occurrence of 13:00 the newest one is that of 12:00.
    await sql`update scheduler_jobs set next_run_at = ${at(600)} where name = 'up'`;
    await t.dispatch(sql, "down", at(60));
    assert.equal((await newest(sql, "down")).status, "dispatched");
  },
);

t.ledgerTest(
  "dependents wait while the dependency is paused, and decide when it is resumed",
  async ({ sql }) => {
    await upAndDown(sql);
    await t.value(sql, "scheduler.pause('up', 'why', 'ann', null, $1)", [at(-1)]);
    await t.dispatch(sql, "down");
    assert.deepEqual(await t.summary(sql, "up"), ["skipped cron 1"]);
    assert.deepEqual(await t.summary(sql, "down"), QUEUED);
    assert.equal((await waiting(sql, "down")).name, "up");
    await t.value(sql, "scheduler.resume('up', 'ann', $1)", [at(10)]);
    await t.pulse(sql, at(10));
    assert.equal((await newest(sql, "down")).skip_reason, "dependency: up was skipped");
  },
);

t.ledgerTest("dependents decide as soon as a pause with an end is over", async ({ sql }) => {
  await upAndDown(sql, {}, { on_dependency_failure: "run" });
  await t.value(sql, "scheduler.pause('up', 'why', 'ann', $2, $1)", [at(-1), at(20)]);
  await t.dispatch(sql, "down");
  assert.deepEqual(await t.summary(sql, "down"), QUEUED);
  await t.pulse(sql, at(19));
  assert.deepEqual(await t.summary(sql, "down"), QUEUED);
  await t.pulse(sql, at(20));
  assert.deepEqual(await t.summary(sql, "down"), STARTED);
});

t.ledgerTest(
  "dependents decide when the group of their dependency is resumed, or its pause is over",
  async ({ sql }) => {
    await sql`select scheduler.register_group('g')`;
    for (const resumed of [true, false]) {
      const day = resumed ? 0 : 60;
      await t.register(sql, "up", { ...HOURLY, group_name: "g" }, at(day));
      await t.register(sql, "down", {
        ...HOURLY,
        depends_on: ["up"],
        on_dependency_failure: "run",
      }, at(day));
      await t.value(sql, "scheduler.pause_group('g', 'why', 'ann', $2, $1)", [
        at(day - 1),
        resumed ? null : at(day + 10),
      ]);
      await t.dispatch(sql, "down", at(day));
      assert.equal((await newest(sql, "down")).status, "queued");
      if (resumed) await t.value(sql, "scheduler.resume_group('g', 'ann', $1)", [at(day + 10)]);
      await t.pulse(sql, at(day + 10));
      assert.equal((await newest(sql, "down")).status, "dispatched");
      await end(sql, "down", "completed", at(day + 11));
    }
  },
);

t.ledgerTest(
  "dependents wait while the dependency is disabled, and go on when it is enabled",
  async ({ sql }) => {
    await upAndDown(sql, {}, { on_dependency_failure: "run" });
    await t.dispatch(sql, "up");
    await t.register(sql, "up", { ...HOURLY, max_attempts: 1, enabled: false }, at(60));
    await end(sql, "up", "failed", at(1));
    assert.deepEqual(await t.summary(sql, "down"), QUEUED);
    await t.register(sql, "up", { ...HOURLY, max_attempts: 1 }, at(60));
    await t.pulse(sql, at(2));
    assert.deepEqual(await t.summary(sql, "down"), STARTED);
  },
);

t.ledgerTest("a disabled dependency whose occurrence was due is waited for", async ({ sql }) => {
  await upAndDown(sql, { enabled: false });
  await t.dispatch(sql, "down");
  assert.equal((await waiting(sql, "down")).name, "up");
});

for (
  const [policy, status, reason] of [
    ["skip", "skipped", "dependency: up had not completed after 600 s"],
    ["run", "dispatched", null],
  ] as const
) {
  t.ledgerTest(`after dependency_timeout_seconds the policy is to ${policy}`, async ({ sql }) => {
    await upAndDown(sql, { timeout_seconds: 7200 }, {
      dependency_timeout_seconds: 600,
      on_dependency_timeout: policy,
    });
    const up = await t.start(sql, "up");
    await t.begin(sql, up, at(1), "up");
    await t.heartbeat(sql, up, at(9.9));
    await t.pulse(sql, at(9.9));
    assert.deepEqual(await t.summary(sql, "down"), QUEUED);
    await t.heartbeat(sql, up, at(10));
    await t.pulse(sql, at(10));
    const down = await newest(sql, "down");
    assert.deepEqual([down.status, down.skip_reason], [status, reason]);
    assert.equal((await t.run(sql, up)).status, "running");
  });

  t.ledgerTest(`when a dependency failed for good the policy is to ${policy}`, async ({ sql }) => {
    await upAndDown(sql, {}, { on_dependency_failure: policy });
    await t.dispatch(sql, "up");
    await end(sql, "up", "failed", at(1), false);
    const down = await newest(sql, "down");
    assert.deepEqual([down.status, down.skip_reason], [
      status,
      policy === "skip" ? "dependency: up failed" : null,
    ]);
  });
}

t.ledgerTest(
  "with policy run one dependency's failure does not end the waiting for another",
  async ({ sql }) => {
    await t.register(sql, "a", { ...HOURLY, max_attempts: 1 });
    await t.register(sql, "b", HOURLY);
    await t.register(sql, "down", {
      ...HOURLY,
      depends_on: ["a", "b"],
      on_dependency_failure: "run",
    });
    await t.dispatch(sql, "a");
    await end(sql, "a", "failed", at(1));
    assert.equal((await waiting(sql, "down")).name, "b");
    await end(sql, "b", "completed", at(2));
    assert.deepEqual(await t.summary(sql, "down"), STARTED);
  },
);

t.ledgerTest("a retry of the dependent does not wait again", async ({ sql }) => {
  await upAndDown(sql, {}, { backoff_base_seconds: 1 });
  await t.dispatch(sql, "up");
  await end(sql, "up", "completed", at(1));
  await end(sql, "down", "failed", at(58));
  await t.register(sql, "up", { ...HOURLY, max_attempts: 1 }, at(60));
  await t.dispatch(sql, "up", at(60));
  await t.pulse(sql, at(60));
  assert.equal((await t.runs(sql, "down"))[1]!.status, "dispatched");
});

t.ledgerTest("a failure goes down a chain of 150 jobs in one transaction", async ({ sql }) => {
  await t.register(sql, "job-0", { ...HOURLY, max_attempts: 1 });
  // As register_job writes them, which takes longer than the test should.
  await sql`
    insert into scheduler_jobs (name, target, depends_on, dependents)
    select 'job-' || n, 'job', array['job-' || n - 1], case when n < 150 then array['job-' || n + 1] else '{}' end
    from generate_series(1, 150) as n`;
  await sql`update scheduler_jobs set dependents = '{job-1}' where name = 'job-0'`;
  await t.dispatch(sql, "job-0");
  await end(sql, "job-0", "failed", at(1));
  const [row] = await sql`
    select count(*) filter (where skip_reason like 'dependency: job-%')::int as skipped from scheduler_runs`;
  assert.equal(row!.skipped, 150);
  assert.equal((await newest(sql, "job-2")).skip_reason, "dependency: job-1 was skipped");
});

// Jobs without a schedule.

t.ledgerTest(
  "a job without a schedule runs once for each occurrence of its dependencies",
  async ({ sql }) => {
    await t.register(sql, "a", HOURLY);
    await t.register(sql, "b", { schedule: "0,30 * * * *" });
    await t.register(sql, "down", { schedule: null, depends_on: ["a", "b"] });
    await t.dispatch(sql, "a");
    await end(sql, "a", "completed", at(1));
    assert.deepEqual(await t.summary(sql, "down"), ["queued dependency 1"]);
    await end(sql, "b", "completed", at(1));
    assert.deepEqual(await t.summary(sql, "down"), ["dispatched dependency 1"]);
    await end(sql, "down", "completed", at(2));
    await t.dispatch(sql, "b", at(30));
    await end(sql, "b", "completed", at(31));
    const rows = await t.runs(sql, "down");
    assert.deepEqual(
      rows.map((row) => [row.status, row.trigger, row.scheduled_for, row.interval_from]),
      [["completed", "dependency", t.NOON, null], ["dispatched", "dependency", at(30), t.NOON]],
    );
    assert.match(await explain(sql, "down", at(31)), /^down was sent for 2026-03-02 12:30 UTC /);
    assert.equal(
      await t.value(sql, "scheduler.explain('down', $1, $2)", [at(10), at(31)]),
      "down has no run at 2026-03-02 12:10 UTC: it has no schedule and runs for each occurrence of a, b.",
    );
  },
);

t.ledgerTest(
  "runs by hand, enqueued runs and overlaps of the dependency bring no run of a job without a schedule",
  async ({ sql }) => {
    await t.register(sql, "up", { ...HOURLY, timeout_seconds: 7200, overlap_policy: "skip" });
    await t.register(sql, "down", { schedule: null, depends_on: ["up"] });
    const up = await t.start(sql, "up");
    await t.begin(sql, up, at(1), "up");
    await t.heartbeat(sql, up, at(60));
    await t.dispatch(sql, "up", at(60));
    assert.deepEqual(await t.summary(sql, "up"), ["running cron 1", "skipped cron 1"]);
    await t.finish(sql, up, "completed", at(61));
    await end(sql, "down", "completed", at(62));
    await t.value(sql, "scheduler.run_now('up', 'ann', null, $1)", [at(70)]);
    await end(sql, "up", "completed", at(71));
    await t.value(sql, "scheduler.enqueue_runs('up', '[{}]', null, $1)", [at(72)]);
    await end(sql, "up", "completed", at(73));
    assert.deepEqual(await t.summary(sql, "down"), ["completed dependency 1 ok"]);
  },
);

t.ledgerTest(
  "a diamond of jobs without a schedule runs once, after both its sides",
  async ({ sql }) => {
    await t.register(sql, "a", HOURLY);
    await t.register(sql, "b", { schedule: null, depends_on: ["a"] });
    await t.register(sql, "c", { schedule: null, depends_on: ["a"], max_attempts: 1 });
    await t.register(sql, "d", { schedule: null, depends_on: ["b", "c"] });
    const ends = { 0: "completed", 60: "failed" };
    for (const [minute, outcome] of Object.entries(ends)) {
      const from = Number(minute);
      await t.dispatch(sql, "a", at(from));
      assert.equal((await newest(sql, "d")).status, "queued");
      await end(sql, "a", "completed", at(from + 1));
      assert.deepEqual(
        [await newest(sql, "b"), await newest(sql, "c"), await newest(sql, "d")].map((row) =>
          row.status
        ),
        ["dispatched", "dispatched", "queued"],
      );
      await end(sql, "b", "completed", at(from + 2));
      assert.equal((await waiting(sql, "d")).name, "c");
      await end(sql, "c", outcome, at(from + 3));
      if (outcome === "completed") await end(sql, "d", "completed", at(from + 4));
    }
    const rows = await t.runs(sql, "d");
    assert.deepEqual(rows.map((row) => [row.status, row.scheduled_for, row.skip_reason]), [
      ["completed", t.NOON, null],
      ["skipped", at(60), "dependency: c failed"],
    ]);
  },
);

t.ledgerTest(
  "a job without a schedule that is stopped skips the occurrences it is given",
  async ({ sql }) => {
    await t.register(sql, "up", HOURLY);
    await t.register(sql, "down", { schedule: null, depends_on: ["up"] });
    await t.value(sql, "scheduler.pause('down', 'why', 'ann', null, $1)", [at(-1)]);
    await t.dispatch(sql, "up");
    assert.deepEqual(await t.summary(sql, "down"), ["skipped dependency 1"]);
    assert.equal((await newest(sql, "down")).skip_kind, "paused");
  },
);

t.ledgerTest(
  "what run_if turned away of the root does not hold up those behind a job without a schedule",
  async ({ sql }) => {
    await sql.unsafe(`
      create function public.wanted(p_at timestamptz) returns boolean language sql as $$ select false $$`);
    await t.register(sql, "root", { ...HOURLY, run_if: "public.wanted" });
    await t.register(sql, "middle", { schedule: null, depends_on: ["root"] });
    await t.register(sql, "leaf", { ...HOURLY, depends_on: ["middle"] });
    // The leaf comes first: it cannot know yet whether the root has work at 12:00.
    await t.dispatch(sql, "leaf");
    assert.deepEqual(await t.summary(sql, "middle"), []);
    assert.deepEqual(await t.summary(sql, "leaf"), STARTED);
  },
);

t.ledgerTest(
  "a wake for an occurrence that is recorded already does not leave those behind it waiting",
  async (db) => {
    const { sql } = db;
    await t.register(sql, "a", HOURLY);
    await t.register(sql, "b", HOURLY);
    await t.register(sql, "middle", { schedule: null, depends_on: ["a", "b"] });
    await t.register(sql, "leaf", { ...HOURLY, depends_on: ["middle"] });
    const holder = await db.sql.reserve();
    await holder`begin`;
    await holder`select from scheduler_jobs where name = 'middle' for no key update`;
    await t.dispatch(t.impatient(db), "a");
    await holder`commit`;
    holder.release();
    assert.deepEqual(await t.summary(sql, "middle"), []);
    assert.deepEqual(await t.summary(sql, "leaf"), QUEUED, "12:00 of middle is to come");
    await t.pulse(sql, t.after(0.2));
    assert.deepEqual(await t.summary(sql, "middle"), ["queued dependency 1"]);
    // As if the wake of the one had come after the row by the other.
    await sql`insert into scheduler.wakes (job_name, wake_at, scheduled_for) values ('middle', ${
      at(3)
    }, ${t.NOON})`;
    await end(sql, "a", "completed", at(1));
    await end(sql, "b", "completed", at(1));
    await end(sql, "middle", "completed", at(2));
    assert.deepEqual(await t.summary(sql, "leaf"), QUEUED);
    await t.pulse(sql, at(3));
    assert.deepEqual(await t.summary(sql, "leaf"), STARTED);
  },
);

t.ledgerTest(
  "an end while somebody else holds the dependent sends it with the next pulse",
  async (db) => {
    const { sql } = db;
    await upAndDown(sql);
    await t.dispatch(sql, "up");
    const holder = await db.sql.reserve();
    await holder`begin`;
    await holder`select from scheduler_jobs where name = 'down' for no key update`;
    await end(t.impatient(db), "up", "completed", at(1));
    await holder`commit`;
    holder.release();
    assert.deepEqual(await t.summary(sql, "down"), QUEUED);
    await t.pulse(sql, at(1.1));
    assert.deepEqual(await t.summary(sql, "down"), STARTED);
    assert.deepEqual([
      ...await sql`select * from scheduler.wakes where job_name = 'down' and wake_at > 'epoch'`,
    ], []);
  },
);

t.ledgerTest("a daily job can depend on a monthly one whose rows were pruned", async ({ sql }) => {
  const day = 24 * 60;
  await t.register(sql, "monthly", {
    schedule: "0 12 2 * *",
    max_attempts: 2,
    backoff_base_seconds: 1,
  });
  await t.register(sql, "daily", { schedule: "0 12 * * *", depends_on: ["monthly"] }, at(20 * day));
  await t.register(sql, "after", { schedule: "0 12 * * *", depends_on: ["monthly"] }, at(38 * day));
  await t.dispatch(sql, "monthly");
  // The failure is kept longer than the success that made up for it.
  await end(sql, "monthly", "failed", at(1));
  await t.pulse(sql, at(2));
  await end(sql, "monthly", "completed", at(3));
  await t.value(sql, "scheduler.prune($1)", [at(20 * day)]);
  assert.deepEqual(await t.summary(sql, "monthly"), ["failed cron 1 job_error"]);
  await t.dispatch(sql, "daily", at(20 * day));
  assert.deepEqual(await t.summary(sql, "daily"), STARTED);

  await t.dispatch(sql, "monthly", at(31 * day));
  await end(sql, "monthly", "failed", at(31 * day + 1), false);
  await sql`update scheduler_jobs set next_run_at = ${at(500 * day)} where name = 'monthly'`;
  await t.value(sql, "scheduler.prune($1)", [at(400 * day)]);
  assert.deepEqual(await t.summary(sql, "monthly"), []);
  await t.dispatch(sql, "after", at(38 * day));
  assert.equal((await newest(sql, "after")).skip_reason, "dependency: monthly failed");
});

t.ledgerTest(
  "nobody may depend on a continuous job, and its own depends_on is no reason to wait",
  async ({ sql }) => {
    await t.register(sql, "up", HOURLY);
    await sql`select scheduler.register_job('forever', '@continuous', depends_on => '{up}')`;
    const error = await refusal(
      sql`select scheduler.register_job('down', '0 * * * *', depends_on => '{forever}')`,
    );
    assert.deepEqual([error.code, error.message], [
      "22023",
      "cannot register the job down: nobody can depend on a continuous job, and forever is one",
    ]);
    await t.register(sql, "down", { ...HOURLY, depends_on: ["up"] });
    const other = await refusal(sql`select scheduler.register_job('up', '@continuous')`);
    assert.equal(
      other.message,
      "cannot register the job up: nobody can depend on a continuous job, and down, forever does",
    );
    await t.dispatch(sql, "up");
    await t.pulse(sql, at(1));
    assert.deepEqual(await t.summary(sql, "forever"), ["dispatched continuous 1"]);
  },
);

t.ledgerTest("circles and unknown names are refused and named", async ({ sql }) => {
  await t.register(sql, "a", HOURLY);
  await t.register(sql, "b", { ...HOURLY, depends_on: ["a"] });
  await t.register(sql, "c", { ...HOURLY, depends_on: ["b"] });
  const message = async (name: string, dependsOn: string[]) => {
    const error = await refusal(
      sql`select scheduler.register_job(${name}, '0 * * * *', depends_on => ${dependsOn})`,
    );
    assert.equal(error.code, "22023");
    return error.message.replace(`cannot register the job ${name}: `, "");
  };
  assert.equal(await message("a", ["c"]), "depends_on closes a circle: a -> c -> b -> a");
  assert.equal(await message("a", ["a"]), "depends_on closes a circle: a -> a");
  assert.equal(await message("new", ["new"]), "depends_on closes a circle: new -> new");
  assert.equal(
    await message("new", ["x", "a", "y"]),
    "depends_on must name registered jobs, got 'x', 'y'; the jobs are: a, b, c",
  );
  assert.equal(await message("new", ["a", "a"]), "depends_on names a job twice: a, a");
  const holes = await refusal(
    sql.unsafe("select scheduler.register_job('new', '0 * * * *', depends_on => array['a', null])"),
  );
  assert.equal(
    holes.message,
    "cannot register the job new: depends_on must hold names of jobs, got null",
  );
});

t.ledgerTest("of two registrations at once that close one circle, one is refused", async (db) => {
  // Neither writes a row that the other reads: a -> b and c -> a, where b -> c is there.
  await t.register(db.sql, "c", HOURLY);
  await t.register(db.sql, "b", { ...HOURLY, depends_on: ["c"] });
  await t.register(db.sql, "a", HOURLY);
  const other = t.impatient(db);
  const [{ pid }] = await other`select pg_backend_pid() as pid` as unknown as [{ pid: number }];
  const first = await db.sql.reserve();
  await first`begin`;
  await first`select scheduler.register_job('a', '0 * * * *', depends_on => '{b}')`;
  const second = refusal(
    other`select scheduler.register_job('c', '0 * * * *', depends_on => '{a}')`,
  );
  await t.untilBlocked(db.sql, pid);
  await first`commit`;
  first.release();
  assert.equal(
    (await second).message,
    "cannot register the job c: depends_on closes a circle: c -> a -> b -> c",
  );
  const jobs = await db.sql`select name, depends_on, dependents from scheduler_jobs order by name`;
  assert.deepEqual(jobs.map((job) => [job.name, job.depends_on, job.dependents]), [
    ["a", ["b"], []],
    ["b", ["c"], ["a"]],
    ["c", [], ["b"]],
  ]);
});

t.ledgerTest(
  "a success stays known when the failure before it is pruned later",
  async ({ sql }) => {
    const day = 24 * 60;
    await t.register(sql, "yearly", {
      schedule: "0 12 2 3 *",
      max_attempts: 2,
      backoff_base_seconds: 1,
    });
    await t.register(
      sql,
      "down",
      { schedule: "0 12 * * *", depends_on: ["yearly"] },
      at(200 * day),
    );
    await t.dispatch(sql, "yearly");
    await end(sql, "yearly", "failed", at(1));
    await t.pulse(sql, at(2));
    await end(sql, "yearly", "completed", at(3));
    for (const [days, left] of [[20, 1], [120, 0]] as const) {
      await t.value(sql, "scheduler.prune($1)", [at(days * day)]);
      assert.equal((await t.runs(sql, "yearly")).length, left);
    }
    await t.dispatch(sql, "down", at(200 * day));
    assert.deepEqual(await t.summary(sql, "down"), STARTED);
  },
);

t.ledgerTest(
  "many ways between few jobs are looked through for circles in no time",
  async ({ sql }) => {
    // 2 to the 14th ways from the last to the first.
    await t.register(sql, "l0-a", HOURLY);
    await t.register(sql, "l0-b", HOURLY);
    for (let level = 1; level < 15; level++) {
      for (const side of ["a", "b"]) {
        await t.register(sql, `l${level}-${side}`, {
          schedule: null,
          depends_on: [`l${level - 1}-a`, `l${level - 1}-b`],
        });
      }
    }
    await sql`set statement_timeout = 4000`;
    const error = await refusal(
      sql`select scheduler.register_job('l0-a', '0 * * * *', depends_on => '{l14-a}')`,
    );
    assert.match(error.message, /closes a circle: l0-a -> l14-a -> l13-[ab] -> .* -> l0-a$/);
    assert.ok((await t.dispatch(sql, "l0-a")) !== null);
    const [row] = await sql`select count(*)::int as rows from scheduler_runs`;
    assert.equal(row!.rows, 30);
  },
);

t.ledgerTest("a job that others depend on stays in the registry", async ({ sql }) => {
  await upAndDown(sql);
  const error = await refusal(sql`select scheduler.unregister_job('up')`);
  assert.deepEqual([error.code, error.message, error.hint], [
    "SD205",
    "cannot take up out: down depends on it",
    "register them without it in depends_on, or take them out first",
  ]);
  await sql`select scheduler.unregister_job('down')`;
  await sql`select scheduler.unregister_job('up')`;
});

t.ledgerTest(
  "a job registered without the dependency it waits for goes with the next pulse",
  async ({ sql }) => {
    await upAndDown(sql);
    await t.dispatch(sql, "up");
    await t.register(sql, "down", HOURLY, at(60));
    const [up] = await sql`select dependents from scheduler_jobs where name = 'up'`;
    assert.deepEqual(up!.dependents, []);
    await t.pulse(sql, at(1));
    assert.deepEqual(await t.summary(sql, "down"), STARTED);
  },
);

t.ledgerTest(
  "jobs that depend on several each, in many layers, are registered as fast as others",
  async (db) => {
    const sql = t.impatient(db);
    for (let layer = 0; layer < 20; layer++) {
      for (let place = 0; place < 3; place++) {
        const above = layer === 0 ? [] : [0, 1, 2].map((other) => `job-${layer - 1}-${other}`);
        const schedule = layer === 0 ? "0 0 * * *" : null;
        await sql`
          select scheduler.register_job(${`job-${layer}-${place}`}, ${schedule}, depends_on => ${above})`;
      }
    }
    await assert.rejects(
      sql`select scheduler.register_job('job-0-0', null, depends_on => '{job-19-2}')`,
      /depends_on closes a circle: job-0-0 -> job-19-2 -> job-18-0 -> .* -> job-1-0 -> job-0-0$/,
    );
  },
);

t.ledgerTest(
  "an occurrence that is skipped after it waited is counted as the others are",
  async ({ sql }) => {
    await t.register(sql, "up", { schedule: "0 12 * * *", max_attempts: 1 });
    await t.register(sql, "down", { schedule: "0 12 * * *", depends_on: ["up"] });
    await t.dispatch(sql, "down");
    const up = (await t.runs(sql, "up"))[0]!.id;
    await t.begin(sql, up, t.NOON, "up");
    await t.finish(sql, up, "failed", t.after(1));
    assert.deepEqual(await t.summary(sql, "down"), ["skipped cron 1"]);
    const [counters] = await sql`
    select skipped::int, left_out from scheduler.run_counters where job_name = 'down'`;
    assert.deepEqual({ ...counters }, { skipped: 1, left_out: { dependency: 1 } });
  },
);

t.ledgerTest("nobody can depend on a job of which nothing comes due", async ({ sql }) => {
  await t.register(sql, "worker", { schedule: null });
  await assert.rejects(
    t.register(sql, "down", { depends_on: ["worker"] }),
    /nobody can depend on worker: it has neither a schedule nor dependencies/,
  );
  await t.register(sql, "up");
  await t.register(sql, "down", { schedule: null, depends_on: ["up"] });
  await t.register(sql, "below", { schedule: null, depends_on: ["down"] });
  await assert.rejects(
    t.register(sql, "up", { schedule: null }),
    /nothing of it would ever come due, and down depends on it/,
  );
});

t.ledgerTest(
  "what means nothing without dependencies is refused by both names",
  async ({ sql }) => {
    const cases: Record<string, unknown>[] = [
      { dependency_timeout_seconds: 60 },
      { on_dependency_timeout: "run" },
      { on_dependency_failure: "run" },
    ];
    for (const values of cases) {
      const message = new RegExp(`${Object.keys(values)[0]} and depends_on contradict each other`);
      await assert.rejects(t.register(sql, "job", values), message);
    }
  },
);

t.ledgerTest(
  "an occurrence that is skipped because the one before it waits says what that waits for",
  async ({ sql }) => {
    await t.register(sql, "up", { schedule: "0 12 * * *" });
    await t.register(sql, "down", { schedule: "* * * * *", depends_on: ["up"] });
    await t.dispatch(sql, "down");
    await t.dispatch(sql, "down", t.after(1));
    const [first, second] = await t.runs(sql, "down");
    assert.equal(second!.skip_reason, `overlap: run ${first!.id} was waiting: dependency up`);
  },
);

for (const looked of [false, true]) {
  t.ledgerTest(
    `an incident begins the time to wait anew, so that jobs are resumed in order (${
      looked ? "its time was over meanwhile" : "its time is over in the ramp"
    })`,
    async ({ sql }) => {
      const daily = { schedule: "0 12 * * *" };
      await upAndDown(sql, daily, {
        ...daily,
        dependency_timeout_seconds: 3600,
        on_dependency_timeout: "run",
      });
      await t.value(sql, "scheduler.pause('up', 'why', 'ann', null, $1)", [at(-1)]);
      await t.dispatch(sql, "down");
      await t.value(sql, "scheduler.start_incident('a leak', 'ann', false, $1)", [at(10)]);
      const ended = looked ? 90 : 59;
      if (looked) await t.pulse(sql, at(61));
      await t.value(sql, "scheduler.end_incident('ann', 120, $1)", [at(ended)]);
      await t.pulse(sql, at(ended + 1));
      await t.pulse(sql, at(ended + 3));
      assert.deepEqual(await waiting(sql, "down"), {
        for: "dependency",
        name: "up",
        since: at(ended + 2),
        until: at(ended + 62),
      });
      await t.pulse(sql, at(ended + 62));
      assert.deepEqual(await t.summary(sql, "down"), STARTED);
      await t.assertInvariants(sql);
    },
  );
}

t.ledgerTest(
  "a pause of the dependent does not begin its time to wait anew",
  async ({ sql }) => {
    await upAndDown(sql, {}, { dependency_timeout_seconds: 3600, schedule: null });
    await t.dispatch(sql, "up");
    const begun = await waiting(sql, "down");
    assert.deepEqual([begun.since, begun.until], [t.NOON, at(60)]);
    await t.value(sql, "scheduler.pause('down', 'why', 'ann', null, $1)", [at(10)]);
    // Its dependency is over while it is paused, and has failed: the run looks, and waits for the pause.
    await sql`select scheduler.look_again('down', 'dependency')`;
    await t.value(sql, "scheduler.pause('down', 'why', 'ann', null, $1)", [at(20)]);
    assert.equal((await waiting(sql, "down")).for, "paused");
    await t.value(sql, "scheduler.resume('down', 'ann', $1)", [at(30)]);
    assert.deepEqual(await waiting(sql, "down"), begun, "what it waited for before");
    await t.value(sql, "scheduler.pause('down', 'why', 'ann', null, $1)", [at(31)]);
    // The group's look comes between, as any other that holds it back.
    await sql`select scheduler.mark_all_waiting('down', ('group_paused', 'g', null, null), ${
      at(32)
    })`;
    await t.value(sql, "scheduler.resume('down', 'ann', $1)", [at(40)]);
    await sql`update scheduler.pulse_state set last_mended_at = ${at(40)}`;
    await sql`select scheduler.advance_job('down', false, ${at(41)})`;
    assert.deepEqual(await waiting(sql, "down"), begun);
    await sql`select scheduler.advance_job('down', false, ${at(60)})`;
    assert.equal(
      (await newest(sql, "down")).skip_reason,
      "dependency: up had not completed after 3600 s",
    );
  },
);

t.ledgerTest("explain says what keeps the dependency from running", async ({ sql }) => {
  await t.register(sql, "top", { ...HOURLY, max_attempts: 2, breaker_failures: 1 });
  await t.register(sql, "up", { ...HOURLY, depends_on: ["top"] });
  await t.register(sql, "down", { ...HOURLY, depends_on: ["up"] });
  await sql`select scheduler.register_group('g')`;
  await t.dispatch(sql, "down");
  const waits =
    "down has not run for 2026-03-02 12:00 UTC yet: attempt 1 of 3 waits for up, until 18:00:00";
  assert.equal(await explain(sql, "down", at(1)), `${waits}.`, "top is at work");
  const verb = (call: string) => t.value(sql, `scheduler.${call}`, [at(1)]);
  await verb("pause('up', 'moving', 'ann', null, $1)");
  assert.equal(await explain(sql, "down", at(2)), `${waits}; up is paused by ann: moving.`);
  const [row] = await sql`select scheduler.explain_json('down', null, ${at(2)}) as facts`;
  assert.equal(row!.facts.obstacle, "up is paused by ann: moving");
  await verb("resume('up', 'ann', $1)");
  await verb(`pause('top', 'moving', 'ann', '${at(90).toISOString()}', $1)`);
  assert.equal(
    await explain(sql, "down", at(2)),
    `${waits}; top is paused by ann: moving (until 2026-03-02 13:30:00 UTC).`,
  );
  await verb("resume('top', 'ann', $1)");
  await t.register(sql, "top", {
    ...HOURLY,
    max_attempts: 2,
    breaker_failures: 1,
    group_name: "g",
  });
  await verb("pause_group('g', 'moving', 'bob', null, $1)");
  assert.equal(
    await explain(sql, "down", at(2)),
    `${waits}; top is stopped, as the group g is paused by bob: moving.`,
  );
  await verb("resume_group('g', 'bob', $1)");
  await end(sql, "top", "failed", at(2));
  assert.equal(
    await explain(sql, "down", at(3)),
    `${waits}; the breaker of top is open after 1 failure in a row.`,
  );
  await t.register(sql, "top", { ...HOURLY, enabled: false });
  assert.equal(await explain(sql, "down", at(3)), `${waits}; top is disabled.`);
});
