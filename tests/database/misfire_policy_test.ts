import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import * as t from "../support/scheduler.ts";

const count = (rows: Row[], status: string) => rows.filter((row) => row.status === status).length;
const hourly = { schedule: "0 * * * *", overlap_policy: "allow" };

/** Pulses at `now` until the job's cursor has come there; how many that took. */
async function settle(sql: Sql, now: Date, limit: number): Promise<number> {
  for (let pulses = 1; pulses <= limit; pulses++) {
    await t.pulse(sql, now);
    const [job] = await sql`select next_run_at > ${
      t.after(-1, now)
    } as settled from scheduler_jobs`;
    if (job!.settled) return pulses;
  }
  assert.fail(`not settled after ${limit} pulses`);
}

t.ledgerTest("misfire policy skip records what was missed and runs nothing", async ({ sql }) => {
  await t.register(sql, "job", { ...hourly, misfire_policy: "skip" });
  await t.pulse(sql, t.after(3 * 60 + 30));
  const rows = await t.runs(sql, "job");
  assert.deepEqual(rows.map((row) => [row.verdict, row.skip_reason]), [
    ["missed", "misfire policy skip"],
    ["missed", "misfire policy skip"],
    ["missed", "misfire policy skip"],
    ["missed", "misfire policy skip"],
  ]);
  assert.deepEqual(await t.requests(sql), []);
});

t.ledgerTest(
  "misfire policy once makes up for all with one run, of the latest occurrence",
  async ({ sql }) => {
    await t.register(sql, "job", { ...hourly, misfire_policy: "once" });
    await t.pulse(sql, t.after(3 * 60 + 30));
    assert.deepEqual(await t.summary(sql, "job"), [
      "missed cron 1",
      "missed cron 1",
      "missed cron 1",
      "dispatched catch_up 1",
    ]);
  },
);

t.ledgerTest("misfire policy once needs no run of its own when one is due now", async ({ sql }) => {
  await t.register(sql, "job", { ...hourly, misfire_policy: "once" });
  await t.dispatch(sql, "job", t.after(3 * 60));
  assert.deepEqual(await t.summary(sql, "job"), [
    "missed cron 1",
    "missed cron 1",
    "missed cron 1",
    "dispatched cron 1",
  ]);
});

t.ledgerTest("misfire policy all catches up the newest, one after the other", async ({ sql }) => {
  await t.register(sql, "job", {
    schedule: "0 * * * *",
    misfire_policy: "all",
    misfire_cap: 2,
  });
  await t.pulse(sql, t.after(4 * 60 + 30));
  const states = [
    "missed cron 1",
    "missed cron 1",
    "missed cron 1",
    "dispatched catch_up 1",
    "queued catch_up 1",
  ];
  assert.deepEqual(await t.summary(sql, "job"), states);
  const rows = await t.runs(sql, "job");
  assert.equal(rows[0]!.skip_reason, "misfire policy all: over its cap of 2");
  await t.begin(sql, rows[3]!.id, t.after(4 * 60 + 31));
  await t.finish(sql, rows[3]!.id, "completed", t.after(4 * 60 + 32));
  assert.deepEqual((await t.summary(sql, "job")).slice(3), [
    "completed catch_up 1 ok",
    "dispatched catch_up 1",
  ]);
  await t.assertInvariants(sql);
});

for (const [policy, caughtUp] of [["skip", 0], ["once", 0], ["all", 24]] as const) {
  t.ledgerTest(
    `a job of every ten minutes that was down for 40 days settles in steps, policy ${policy}`,
    async ({ sql }) => {
      const occurrences = 40 * 24 * 6;
      const schedule = "*/10 * * * *";
      await t.register(sql, "job", { schedule, misfire_policy: policy, misfire_grace_seconds: 0 });
      const now = t.after(10 * occurrences - 9);
      assert.equal(await settle(sql, now, 10), Math.ceil(occurrences / 1000));
      const [seen] = await sql`
      select count(*)::int as rows, count(distinct scheduled_for)::int as occurrences,
        min(scheduled_for) as first, max(scheduled_for) as last,
        count(*) filter (where trigger = 'catch_up')::int as caught_up,
        min(scheduled_for) filter (where trigger = 'catch_up') as oldest_caught_up
      from scheduler_runs`;
      // The latest one is a minute old, so it is in time and runs whatever the policy.
      assert.deepEqual(seen, {
        rows: occurrences,
        occurrences,
        first: t.NOON,
        last: t.after(-1, now),
        caught_up: caughtUp + 1,
        oldest_caught_up: t.after(-10 * caughtUp - 1, now),
      });
    },
  );
}

t.ledgerTest("one step of a long outage is at most 1,000 rows", async ({ sql }) => {
  await t.register(sql, "job");
  await t.pulse(sql, t.after(5000));
  assert.equal((await t.runs(sql, "job")).length, 1000);
});

t.ledgerTest("a yearly job that was down for three years settles", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 2 3 *", misfire_policy: "skip" });
  await settle(sql, new Date("2029-03-10T00:00:00Z"), 5);
  const years = (await t.runs(sql, "job")).map((row) => row.scheduled_for.getUTCFullYear());
  assert.deepEqual(years, [2026, 2027, 2028, 2029]);
});

t.ledgerTest("a cursor that is no occurrence any more goes on to the next one", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 2 3 *", misfire_policy: "skip" });
  await sql`update scheduler_jobs set next_run_at = ${t.after(7)}`;
  await settle(sql, new Date("2029-03-10T00:00:00Z"), 5);
  const [job] = await sql`select next_run_at from scheduler_jobs`;
  assert.deepEqual(job!.next_run_at, new Date("2030-03-02T12:00:00Z"));
});

t.ledgerTest(
  "within the grace time an occurrence runs as if nothing had happened",
  async ({ sql }) => {
    const grace = { ...hourly, misfire_policy: "skip", misfire_grace_seconds: 600 };
    await t.register(sql, "in-time", grace);
    await t.register(sql, "late", grace, t.after(-0.1));
    await sql`update scheduler_jobs set next_run_at = ${t.NOON} where name = 'late'`;
    await t.dispatch(sql, "in-time", t.after(10));
    await t.dispatch(sql, "late", t.after(10.1));
    assert.deepEqual(await t.summary(sql, "in-time"), ["dispatched catch_up 1"]);
    assert.deepEqual(await t.summary(sql, "late"), ["missed cron 1"]);
  },
);

t.ledgerTest("every occurrence within the grace time runs", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "allow", misfire_grace_seconds: 300 });
  await t.dispatch(sql, "job", t.after(4));
  const rows = await t.runs(sql, "job");
  assert.equal(count(rows, "dispatched"), 5);
  assert.deepEqual(rows.map((row) => row.trigger), [
    ...Array(4).fill("catch_up"),
    "cron",
  ]);
});

t.ledgerTest("with a grace of 0 pg_cron's own minute still is in time", async ({ sql }) => {
  await t.register(sql, "job", { ...hourly, misfire_policy: "skip", misfire_grace_seconds: 0 });
  await t.dispatch(sql, "job", t.after(59 / 60));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
});

t.ledgerTest(
  "what came due in a pause is skipped, not missed, and not made up for",
  async ({ sql }) => {
    for (const policy of ["once", "all"]) {
      await t.register(sql, policy, { ...hourly, misfire_policy: policy });
      await sql`select scheduler.pause(${policy}, 'moving house', 'Ada', ${t.after(130)}, ${
        t.after(30)
      })`;
    }
    await t.pulse(sql, t.after(4 * 60 + 30));
    const paused = ["skipped cron 1", "skipped cron 1"];
    assert.deepEqual(await t.summary(sql, "once"), [
      "missed cron 1",
      ...paused,
      "missed cron 1",
      "dispatched catch_up 1",
    ]);
    assert.deepEqual(await t.summary(sql, "all"), [
      "dispatched catch_up 1",
      ...paused,
      "dispatched catch_up 1",
      "dispatched catch_up 1",
    ]);
    assert.equal((await t.runs(sql, "once"))[1]!.skip_reason, "paused by Ada: moving house");
  },
);

t.ledgerTest(
  "what was missed before the pause is made up for, though the pause came later",
  async ({ sql }) => {
    await t.register(sql, "job", { ...hourly, misfire_policy: "once" });
    await sql`select scheduler.pause('job', 'moving house', 'Ada', ${t.after(200)}, ${
      t.after(30)
    })`;
    await t.pulse(sql, t.after(3 * 60 + 30));
    assert.deepEqual(await t.summary(sql, "job"), [
      "dispatched catch_up 1",
      "skipped cron 1",
      "skipped cron 1",
      "skipped cron 1",
    ]);
  },
);

t.ledgerTest(
  "a missed occurrence that pg_cron fired in vain is dispatch_failed",
  async ({ sql, admin }) => {
    await t.register(sql, "job", { ...hourly, misfire_policy: "skip" });
    await t.register(sql, "other", { ...hourly, misfire_policy: "skip" });
    await admin`
    insert into cron.job_run_details (jobid, username, command, status, return_message, start_time, end_time)
    select jobid, username, command, status, 'deadlock detected', at, at
    from cron.job, (values ('failed', ${t.after(0.01)}::timestamptz), ('succeeded', ${
      t.after(60.01)
    }),
      ('failed', ${t.after(121)})) as details (status, at)
    where jobname = 'job'`;
    await t.pulse(sql, t.after(2 * 60 + 30));
    const verdicts = async (name: string) => (await t.runs(sql, name)).map((row) => row.verdict);
    assert.deepEqual(await verdicts("job"), ["dispatch_failed", "missed", "missed"]);
    assert.deepEqual(await verdicts("other"), ["missed", "missed", "missed"]);
  },
);
