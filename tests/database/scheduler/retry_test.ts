// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("retries back off exponentially with full jitter up to the cap", async ({ sql }) => {
  const [base, cap, sample] = [10, 60, 300];
  await t.register(sql, "job", {
    overlap_policy: "allow",
    max_attempts: 20,
    backoff_base_seconds: base,
    backoff_cap_seconds: cap,
  });
  for (const attempt of [1, 2, 3, 4, 12]) {
    await sql`delete from scheduler_runs`;
    await sql`
      insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, attempt, failures, max_attempts, started_at)
      select 'job', 'job', 'running', 'cron', ${t.NOON}::timestamptz + n * interval '1 minute', ${attempt}, ${
      attempt - 1
    }, 20, ${t.NOON}
      from generate_series(1, ${sample}::int) as n`;
    await sql`
      select scheduler.finish_run(id, 'failed', p_now => ${t.NOON}) from scheduler_runs where status = 'running'`;
    const delays = (await sql`
      select extract(epoch from run_after - ${t.NOON})::float as seconds
      from scheduler_runs where attempt = ${attempt + 1}`).map((row) => row.seconds as number);
    const highest = Math.min(cap, base * 2 ** (attempt - 1));
    assert.equal(delays.length, sample);
    assert.ok(Math.min(...delays) >= 1, `attempt ${attempt}: ${Math.min(...delays)}`);
    assert.ok(Math.max(...delays) <= highest, `attempt ${attempt}: ${Math.max(...delays)}`);
    // Of 300 uniform draws these bounds miss once in a hundred million times.
    assert.ok(Math.max(...delays) > highest * 0.9, `attempt ${attempt}: ${Math.max(...delays)}`);
    assert.ok(Math.min(...delays) < Math.max(1.01, highest * 0.1), `attempt ${attempt}`);
    const mean = delays.reduce((sum, delay) => sum + delay, 0) / sample;
    assert.ok(Math.abs(mean - highest / 2) < highest * 0.1, `attempt ${attempt}: mean ${mean}`);
  }
});

t.ledgerTest("a run is tried max_attempts times, then it stays failed", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *", max_attempts: 3 });
  await t.dispatch(sql, "job");
  for (let attempt = 1; attempt <= 3; attempt++) {
    const [live] = await sql`select id from scheduler_runs where status = 'dispatched'`;
    await t.begin(sql, live!.id, t.after(attempt * 60));
    await t.finish(sql, live!.id, "failed", t.after(attempt * 60 + 1));
    await t.pulse(sql, t.after(attempt * 60 + 30));
  }
  assert.deepEqual(await t.summary(sql, "job"), [
    "failed cron 1 job_error",
    "failed retry 2 job_error",
    "failed retry 3 job_error",
  ]);
  const rows = await t.runs(sql, "job");
  assert.ok(rows.every((row) => row.scheduled_for.getTime() === t.NOON.getTime()));
});

t.ledgerTest("with max_attempts 1 nothing is retried", async ({ sql }) => {
  await t.register(sql, "job", { max_attempts: 1 });
  const id = (await t.dispatch(sql, "job"))!;
  await t.begin(sql, id, t.NOON);
  await t.finish(sql, id, "failed", t.NOON);
  assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 job_error"]);
});

t.ledgerTest("a permanent error is not retried, an interruption is", async ({ sql }) => {
  await t.register(sql, "permanent");
  await t.register(sql, "interrupted");
  for (const name of ["permanent", "interrupted"]) {
    const id = await t.start(sql, name);
    await t.begin(sql, id, t.NOON, name);
    await t.finish(sql, id, name === "permanent" ? "failed" : name, t.NOON, name !== "permanent");
  }
  assert.deepEqual(await t.summary(sql, "permanent"), ["failed cron 1 job_error"]);
  assert.deepEqual(await t.summary(sql, "interrupted"), [
    "failed cron 1 interrupted",
    "queued retry 2",
  ]);
});

t.ledgerTest("a retry waits for its time and for the lock", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0,5 12 * * *" });
  const first = (await t.dispatch(sql, "job"))!;
  await t.begin(sql, first, t.NOON);
  await t.finish(sql, first, "failed", t.after(1));
  await sql`update scheduler_runs set run_after = ${t.after(5.5)} where status = 'queued'`;
  await t.pulse(sql, t.after(4));
  assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 job_error", "queued retry 2"]);

  const second = (await t.dispatch(sql, "job", t.after(5)))!;
  await t.begin(sql, second, t.after(5));
  await t.heartbeat(sql, second, t.after(6));
  await t.pulse(sql, t.after(6));
  assert.deepEqual(await t.summary(sql, "job"), [
    "failed cron 1 job_error",
    "queued retry 2",
    "running cron 1",
  ]);
  await t.finish(sql, second, "completed", t.after(6.5));
  assert.deepEqual(await t.summary(sql, "job"), [
    "failed cron 1 job_error",
    "dispatched retry 2",
    "completed cron 1 ok",
  ]);
  await t.assertInvariants(sql);
});

for (const change of ["disabled", "taken out of the registry"]) {
  t.ledgerTest(`a retry is cancelled when its job is ${change}`, async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *" });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.finish(sql, id, "failed", t.after(1));
    if (change === "disabled") {
      await t.register(sql, "job", { schedule: "0 12 * * *", enabled: false });
    } else await sql`select scheduler.unregister_job('job')`;
    await t.pulse(sql, t.after(60));
    assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 job_error", "cancelled retry 2"]);
    assert.match((await t.runs(sql, "job"))[1]!.error_message, /disabled or taken out/);
  });
}

t.ledgerTest("the end of a run does not send waiting runs of a disabled job", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "queue" });
  const id = (await t.dispatch(sql, "job"))!;
  await t.dispatch(sql, "job", t.after(1));
  await t.register(sql, "job", { overlap_policy: "queue", enabled: false });
  await t.begin(sql, id, t.after(1));
  await t.finish(sql, id, "completed", t.after(1));
  assert.deepEqual(await t.summary(sql, "job"), ["completed cron 1 ok", "queued cron 1"]);
});

t.ledgerTest(
  "a retry goes where the job points now, and its function may begin it",
  async ({ sql }) => {
    await t.register(sql, "job", { target: "old-function", schedule: "0 12 * * *" });
    const first = (await t.dispatch(sql, "job"))!;
    await t.answer(sql, first, { status: 404 }, t.after(0.1));
    await t.pulse(sql, t.after(1));
    await sql`update scheduler_jobs set target = 'new-function' where name = 'job'`;
    await t.pulse(sql, t.after(30));
    const retry = (await t.runs(sql, "job"))[1]!;
    assert.equal(retry.function_name, "new-function");
    assert.equal((await t.begin(sql, retry.id, t.after(30.1), "new-function")).begun, true);
  },
);
