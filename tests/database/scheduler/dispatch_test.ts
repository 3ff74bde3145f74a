// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "dispatch writes the row of a due occurrence and queues one request",
  async ({ sql }) => {
    await t.register(sql, "job", { payload: { depth: 2 } });
    const id = await t.dispatch(sql, "job", t.after(0.1));
    const row = await t.run(sql, id);
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
    assert.deepEqual(row.scheduled_for, t.NOON);
    assert.deepEqual(row.dispatched_at, t.after(0.1));
    const [job] = await sql`select next_run_at from scheduler_jobs`;
    assert.deepEqual(job!.next_run_at, t.after(1));
    const [request, ...others] = await t.requests(sql);
    assert.deepEqual(others, []);
    assert.equal(request!.id, row.request_id);
    assert.equal(request!.url, `${t.PROJECT_URL}/functions/v1/job`);
    assert.deepEqual(request!.body, { depth: 2 });
    assert.equal(request!.timeout_milliseconds, 5000);
    assert.deepEqual(request!.headers, {
      "Content-Type": "application/json",
      "x-cron-secret": t.CRON_SECRET,
      "x-run-id": id,
      "x-job-name": "job",
      "x-attempt": "1",
    });
  },
);

t.ledgerTest("dispatch outside of the schedule leaves no row and no request", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "30 12 * * *" }, t.after(30));
  for (const minute of [0, 29, 29.99]) {
    assert.equal(await t.dispatch(sql, "job", t.after(minute)), null);
  }
  assert.deepEqual(await t.runs(sql, "job"), []);
  assert.deepEqual(await t.requests(sql), []);
  assert.ok(await t.dispatch(sql, "job", t.after(30)));
});

t.ledgerTest("dispatch again in the same minute does nothing", async ({ sql }) => {
  await t.register(sql, "job");
  assert.ok(await t.dispatch(sql, "job"));
  assert.equal(await t.dispatch(sql, "job"), null);
  assert.equal(await t.dispatch(sql, "job", t.after(0.9)), null);
  assert.equal((await t.runs(sql, "job")).length, 1);
  assert.equal((await t.requests(sql)).length, 1);
});

t.ledgerTest("a clock that goes back does not dispatch an occurrence again", async ({ sql }) => {
  await t.register(sql, "job");
  assert.ok(await t.dispatch(sql, "job"));
  assert.equal(await t.dispatch(sql, "job", t.after(-60)), null);
  assert.equal(await t.dispatch(sql, "job"), null);
  assert.equal((await t.runs(sql, "job")).length, 1);
});

t.ledgerTest(
  "a cursor that was put back does not dispatch an occurrence again",
  async ({ sql }) => {
    await t.register(sql, "job");
    await t.dispatch(sql, "job");
    await sql`update scheduler_jobs set next_run_at = ${t.NOON}`;
    assert.equal(await t.dispatch(sql, "job"), null);
    assert.equal((await t.runs(sql, "job")).length, 1);
    assert.equal((await t.requests(sql)).length, 1);
  },
);

t.ledgerTest("dispatch of an unknown job raises and says what to do", async ({ sql }) => {
  const error = await refusal(t.dispatch(sql, "nobody"));
  assert.equal(error.code, "SD001");
  assert.match(error.message, /^there is no job named 'nobody'$/);
  assert.match(error.hint!, /cron\.unschedule\('nobody'\)/);
});

t.ledgerTest("dispatch of a disabled job does nothing", async ({ sql }) => {
  await t.register(sql, "job", { enabled: false });
  assert.equal(await t.dispatch(sql, "job"), null);
  assert.deepEqual(await t.runs(sql, "job"), []);
});

t.ledgerTest(
  "a manual run of the very same moment does not block the occurrence",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "allow" });
    assert.ok(await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.NOON]));
    assert.ok(await t.dispatch(sql, "job"));
    assert.deepEqual((await t.summary(sql, "job")).sort(), [
      "dispatched cron 1",
      "dispatched manual 1",
    ]);
  },
);

t.ledgerTest("a job of a time zone runs once on the days its clock changes", async ({ sql }) => {
  // 02:30 does not exist on 8 March 2026 in New York, 01:30 comes twice on 1 November.
  for (
    const [name, schedule, day, expected] of [
      ["spring", "30 2 * * *", "2026-03-08", "2026-03-08T07:00:00.000Z"],
      ["autumn", "30 1 * * *", "2026-11-01", "2026-11-01T05:30:00.000Z"],
    ] as const
  ) {
    const midnight = new Date(`${day}T00:00:00-${name === "spring" ? "05" : "04"}:00`);
    await t.register(sql, name, {
      schedule,
      time_zone: "America/New_York",
      overlap_policy: "allow",
    });
    await sql`
      update scheduler_jobs
      set next_run_at = scheduler.next_occurrence(schedule, time_zone, ${midnight}) where name = ${name}`;
    for (let minute = 0; minute < 6 * 60; minute++) {
      await t.dispatch(sql, name, t.after(minute, midnight));
    }
    const rows = await t.runs(sql, name);
    assert.deepEqual(rows.map((row) => row.scheduled_for.toISOString()), [expected]);
  }
});

t.ledgerTest(
  "dispatch judges its own job's silent run, which the pulse of the same minute may pass over",
  async ({ sql }) => {
    await t.register(sql, "job", { timeout_seconds: 12 });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.dispatch(sql, "job", t.after(1));
    assert.equal((await t.run(sql, id)).verdict, "timed_out");
    assert.deepEqual(await t.summary(sql, "job"), [
      "failed cron 1 timed_out",
      "queued retry 2",
      "dispatched cron 1",
    ]);
  },
);
