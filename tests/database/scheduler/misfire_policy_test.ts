// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Row } from "postgres";
import * as t from "../../support/scheduler.ts";

const count = (rows: Row[], status: string) => rows.filter((row) => row.status === status).length;
const hourly = { schedule: "0 * * * *", overlap_policy: "allow" };

t.ledgerTest("misfire policy skip records missed occurrences and runs none", async ({ sql }) => {
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
    `a job of every ten minutes that was down for 40 days has one row for the gap, policy ${policy}`,
    async ({ sql }) => {
      const occurrences = 40 * 24 * 6;
      const schedule = "*/10 * * * *";
      await t.register(sql, "job", { schedule, misfire_policy: policy, misfire_grace_seconds: 0 });
      const now = t.after(10 * occurrences - 9);
      await t.pulse(sql, now);
      const [gap, ...rest] = await t.runs(sql, "job");
      const missed = occurrences - caughtUp - 1;
      assert.deepEqual(
        [gap!.status, gap!.skip_kind, gap!.occurrences, gap!.scheduled_for, gap!.scheduled_until],
        ["missed", `misfire_${policy}`, missed, t.NOON, t.after(10 * (missed - 1))],
      );
      // The latest one is a minute old, so it is in time and runs whatever the policy.
      assert.equal(rest.length, caughtUp + 1);
      assert.ok(rest.every((row) => row.occurrences === 1 && row.trigger === "catch_up"));
      assert.deepEqual(rest[0]!.scheduled_for, t.after(10 * missed));
      assert.deepEqual(rest.at(-1)!.scheduled_for, t.after(-1, now));
      const [job] = await sql`select next_run_at from scheduler_jobs`;
      assert.deepEqual(job!.next_run_at, t.after(9, now));
    },
  );
}

t.ledgerTest(
  "a gap of 1,000 occurrences has a row for each, one of 1,001 has one",
  async ({ sql }) => {
    const policy = { misfire_policy: "skip", misfire_grace_seconds: 60 };
    await t.register(sql, "thousand", policy);
    await t.register(sql, "more", policy, t.after(-1));
    // The occurrences at 1,000 and 1,001 minutes are in time.
    await t.pulse(sql, t.after(1001));
    assert.deepEqual(
      (await t.runs(sql, "thousand")).filter((row) => row.skip_kind === "misfire_skip").length,
      1000,
    );
    const [gap, ...rest] = await t.runs(sql, "more");
    assert.equal(gap!.occurrences, 1001);
    assert.equal(rest.length, 2);
  },
);

t.ledgerTest(
  "after a cursor was put back, a gap counts only occurrences without a row",
  async ({ sql }) => {
    await t.register(sql, "job", { misfire_policy: "skip" });
    await t.dispatch(sql, "job");
    await t.dispatch(sql, "job", t.after(1));
    await sql`update scheduler_jobs set next_run_at = ${t.after(-1)}`;
    await t.pulse(sql, t.after(3000));
    const [gap] = await t.runs(sql, "job");
    const on_time = 6;
    assert.equal(gap!.occurrences, 3002 - 2 - on_time);
  },
);

t.ledgerTest("a pause in a gap cuts it: missed, paused, missed", async ({ sql }) => {
  await t.register(sql, "job", { misfire_policy: "once" });
  await sql`select scheduler.pause('job', 'moving', 'Ada', ${t.after(4000)}, ${t.after(2000)})`;
  await t.pulse(sql, t.after(6000));
  const gaps = (await t.runs(sql, "job")).filter((row) => row.occurrences > 1);
  assert.deepEqual(gaps.map((row) => [row.status, row.skip_kind, row.occurrences]), [
    ["missed", "misfire_once", 2000],
    ["skipped", "paused", 2000],
    ["missed", "misfire_once", 1995],
  ]);
  const [counters] =
    await sql`select missed::int, skipped::int, left_out from scheduler.run_counters`;
  assert.deepEqual(counters, {
    missed: 4000,
    skipped: 2000,
    left_out: { misfire_once: 3995, paused: 2000, superseded: 5 },
  });
});

t.ledgerTest(
  "the occurrences of a yearly job that was down for three years are recorded",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 2 3 *", misfire_policy: "skip" });
    await t.pulse(sql, new Date("2029-03-10T00:00:00Z"));
    const years = (await t.runs(sql, "job")).map((row) => row.scheduled_for.getUTCFullYear());
    assert.deepEqual(years, [2026, 2027, 2028, 2029]);
  },
);

t.ledgerTest("a cursor that is no occurrence any more goes on to the next one", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 2 3 *", misfire_policy: "skip" });
  await sql`update scheduler_jobs set next_run_at = ${t.after(7)}`;
  await t.pulse(sql, new Date("2029-03-10T00:00:00Z"));
  const [job] = await sql`select next_run_at from scheduler_jobs`;
  assert.deepEqual(job!.next_run_at, new Date("2030-03-02T12:00:00Z"));
});

t.ledgerTest(
  "within the grace time an occurrence runs as if nothing had happened",
  async ({ sql }) => {
    const grace = { ...hourly, misfire_policy: "skip", misfire_grace_seconds: 600 };
    await t.register(sql, "late", grace, t.after(-0.1));
    await sql`update scheduler_jobs set next_run_at = ${t.NOON} where name = 'late'`;
    await t.dispatch(sql, "late", t.after(10.1));
    await t.register(sql, "in-time", grace);
    await t.dispatch(sql, "in-time", t.after(10));
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
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched catch_up 1"]);
});

t.ledgerTest(
  "occurrences that came due in a pause are skipped, not missed, and not caught up",
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
  "occurrences missed before a pause are caught up after it",
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

t.ledgerTest(
  "with misfire policy once a paused occurrence makes up for nothing that was missed",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "*/10 * * * *" }, t.after(-40));
    await sql`select scheduler.pause('job', 'moving', 'Ada', ${t.after(1)}, ${t.after(-15)})`;
    await t.pulse(sql, t.after(2));
    assert.deepEqual(await t.summary(sql, "job"), [
      "missed cron 1",
      "missed cron 1",
      "dispatched catch_up 1",
      "skipped cron 1",
      "skipped cron 1",
    ]);
  },
);

t.ledgerTest(
  "occurrences stay recorded when pg_cron's log cannot be read for their cause",
  async ({ sql, admin }) => {
    await t.register(sql, "job", { ...hourly, misfire_policy: "skip" });
    await admin`alter table cron.job_run_details rename column status to outcome`;
    const report = await t.pulse(sql, t.after(150));
    assert.deepEqual(await t.summary(sql, "job"), [
      "missed cron 1",
      "missed cron 1",
      "missed cron 1",
    ]);
    assert.equal(report.recorded, 1);
  },
);
