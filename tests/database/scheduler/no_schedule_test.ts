import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

/** A job without a schedule, registered long ago. */
const register = (sql: Parameters<typeof t.register>[0], values = {}) =>
  t.value(sql, "scheduler.register_job('job', null, overlap_policy => 'allow', enabled => $1)", [
    "enabled" in values ? values.enabled : true,
  ]);

t.ledgerTest("a job without a schedule has no pg_cron entry and no next time", async ({ sql }) => {
  await register(sql);
  const [job] = await sql`select schedule, cron_entry, next_run_at from scheduler_jobs`;
  assert.deepEqual(job, { schedule: null, cron_entry: null, next_run_at: null });
  const report = await t.pulse(sql, t.NOON);
  assert.deepEqual([report.mended, report.recorded, report.errors], [0, 0, {}]);
  assert.deepEqual([...await sql`select from cron.job where jobname = 'job'`], []);
  assert.equal(await t.dispatch(sql, "job"), null);
  assert.deepEqual(await t.runs(sql, "job"), []);
});

t.ledgerTest("it runs when it is enqueued and when it is called", async ({ sql }) => {
  await register(sql);
  await t.value(sql, "scheduler.enqueue_runs('job', '[{}, {}]', null, $1)", [t.NOON]);
  await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(1)]);
  assert.deepEqual(await t.summary(sql, "job"), [
    "dispatched enqueued 1",
    "dispatched enqueued 1",
    "dispatched manual 1",
  ]);
});

t.ledgerTest("next_runs has one row of it that says why it names no time", async ({ sql }) => {
  await register(sql);
  await t.register(sql, "timed", { schedule: "0 13 * * *" });
  const rows = await sql`
    select job_name, run_at, note from scheduler.next_runs(null, 2, ${t.NOON})`;
  assert.deepEqual(rows.map((row) => [row.job_name, row.run_at?.toISOString() ?? null, row.note]), [
    ["timed", "2026-03-02T13:00:00.000Z", null],
    ["timed", "2026-03-03T13:00:00.000Z", null],
    ["job", null, "has no schedule: it runs when it is enqueued or called"],
  ]);
});

t.ledgerTest("explain says that it has no schedule, and what its runs came to", async ({ sql }) => {
  const explain = () => t.value(sql, "scheduler.explain('job', $1, $1)", [t.NOON]);
  await register(sql);
  await sql`update scheduler_jobs set created_at = ${t.after(-1)}`;
  assert.equal(
    await explain(),
    "job has no run at 2026-03-02 12:00 UTC: it has no schedule and runs only when it is enqueued or called.",
  );
  await register(sql, { enabled: false });
  assert.match(await explain(), /or called; it is disabled besides: register it/);
  await register(sql);
  await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [t.NOON]);
  assert.match(await explain(), /^job was sent for 2026-03-02 12:00 UTC/);
});

t.ledgerTest(
  "runs that are enqueued while the job is paused wait until it is resumed",
  async ({ sql }) => {
    await register(sql);
    assert.equal(
      await t.value(sql, "scheduler.pause('job', 'why', 'who', null, $1)", [t.after(-1)]),
      "job is paused until somebody resumes it; what is enqueued waits",
    );
    await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [t.NOON]);
    assert.deepEqual(await t.summary(sql, "job"), ["queued enqueued 1"]);
    assert.equal(
      await t.value(sql, "scheduler.resume('job', 'ann', $1)", [t.after(1)]),
      "job runs again when it is enqueued or called",
    );
    await t.pulse(sql, t.after(2));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched enqueued 1"]);
  },
);

t.ledgerTest(
  "a job loses its schedule, and gets one again, with what came due in between",
  async ({ sql }) => {
    const entries = async () =>
      (await sql`select schedule from cron.job where jobname = 'job'`).map((row) => row.schedule);
    await t.register(sql, "job", { schedule: "* * * * *", overlap_policy: "allow" });
    await sql`update scheduler_jobs set next_run_at = date_trunc('minute', now())`;
    await register(sql);
    assert.deepEqual(await entries(), []);
    assert.equal((await t.runs(sql, "job")).length, 1, "the minute that was due has its row");
    await t.value(sql, "scheduler.register_job('job', '0 0 * * *', overlap_policy => 'allow')");
    assert.deepEqual(await entries(), ["0 0 * * *"]);
    const [job] = await sql`select next_run_at > now() as ahead from scheduler_jobs`;
    assert.equal(job!.ahead, true);
    assert.equal((await t.runs(sql, "job")).length, 1);
  },
);

t.ledgerTest(
  "a job without a schedule has nothing that run_if could be asked for",
  async ({ sql }) => {
    await sql.unsafe(`create function public.wanted(p_at timestamptz) returns boolean language sql
    as 'select true'`);
    const error = await refusal(
      sql`select scheduler.register_job('job', null, run_if => 'public.wanted')`,
    );
    assert.equal(
      error.message,
      "cannot register the job job: run_if is asked for what a schedule makes due, and schedule is null",
    );
  },
);
