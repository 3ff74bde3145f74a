import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

async function clock(sql: Sql, now: Date, fn = "job", job: string | null = null) {
  return await t.value(sql, "scheduler.begin_due_run($1, $2, 'clock', $3)", [fn, job, now]);
}

async function queue(sql: Sql): Promise<string[]> {
  const rows =
    await sql`select headers ->> 'x-run-id' as run from net.http_request_queue order by id`;
  return rows.map((row) => row.run);
}

t.ledgerTest("an outside clock begins what is due, and sends no request of it", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *" });
  await t.register(sql, "other", { schedule: "0 12 * * *" });
  const begun = await clock(sql, t.NOON);
  assert.deepEqual([begun.begun, begun.job_name, begun.attempt], [true, "job", 1]);
  assert.equal(Date.parse(begun.scheduled_for), t.NOON.getTime());
  const other = (await t.runs(sql, "other"))[0]!;
  assert.equal(other.status, "dispatched", "what else is due is taken along");
  assert.deepEqual(await queue(sql), [other.id]);
  await t.finish(sql, begun.run_id, "completed", t.after(1));
  const [run] = await t.runs(sql, "job");
  assert.deepEqual([run!.trigger, run!.verdict, run!.request_id], ["cron", "ok", null]);
});

t.ledgerTest("two clocks and pg_cron: one run, whoever comes first", async ({ sql, connect }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *" });
  const clocks = await Promise.all(
    [connect(), connect(), connect()].map((other) => clock(other, t.NOON)),
  );
  assert.equal(clocks.filter(({ begun }) => begun).length, 1);
  for (const told of clocks.filter(({ begun }) => !begun)) {
    assert.equal(told.reason, "already");
    assert.match(told.message, /began|running/);
  }
  assert.equal(await t.dispatch(sql, "job"), null);
  assert.equal((await t.runs(sql, "job")).length, 1);

  const noon = t.after(24 * 60);
  const id = await t.dispatch(sql, "job", noon);
  const told = await clock(sql, t.after(24 * 60 + 1));
  assert.deepEqual([told.begun, told.reason, told.run_id, told.status], [
    false,
    "already",
    id,
    "dispatched",
  ]);
  assert.deepEqual(await queue(sql), [id], "pg_cron's request goes out");
});

t.ledgerTest("a clock is told why nothing begins", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *" });
  const early = await clock(sql, t.after(-60));
  assert.deepEqual([early.begun, early.reason, early.run_id], [false, "already", null]);
  await sql`select scheduler.pause('job', 'a leak', 'Ada', p_now => ${t.after(-30)})`;
  const paused = await clock(sql, t.NOON);
  assert.deepEqual([paused.reason, paused.status], ["already", "skipped"]);
  assert.match(paused.message, /paused by Ada: a leak/);
});

t.ledgerTest(
  "a clock that calls a job without a schedule, or a function that no job names, begins a run each time",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: null });
    for (const fn of ["job", "stranger"]) {
      const first = await clock(sql, t.NOON, fn);
      assert.equal(first.begun, true);
      assert.equal((await t.run(sql, first.run_id)).trigger, "manual");
    }
    const told = await clock(sql, t.NOON, "job", "unknown");
    assert.deepEqual([told.begun, told.reason, told.jobs], [false, "unknown job", ["job"]]);
  },
);

t.ledgerTest("a run that a clock began is retried as every other is", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *", max_attempts: 2 });
  const begun = await clock(sql, t.NOON);
  await t.finish(sql, begun.run_id, "failed", t.after(1));
  const [retry] = await sql`select * from scheduler_runs where attempt = 2`;
  await sql`select scheduler.pulse(${retry!.run_after}::timestamptz + interval '1 second')`;
  assert.deepEqual(await queue(sql), [retry!.id]);
});
