// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

const ROWS =
  "select scheduled_for, interval_from from scheduler_runs where job_name = 'job' and attempt = 1 order by 1";

async function intervals(sql: Sql): Promise<(number | null)[]> {
  return (await sql.unsafe(ROWS)).map((row) =>
    row.interval_from === null ? null : (row.scheduled_for - row.interval_from) / 60_000
  );
}

t.ledgerTest(
  "each occurrence reaches from the one before it to its own, in a row and after an outage",
  async ({ sql }) => {
    await t.register(sql, "job", {
      schedule: "0 10,12,13,16 * * *",
      misfire_policy: "all",
      overlap_policy: "allow",
    });
    await t.dispatch(sql, "job");
    await t.dispatch(sql, "job", t.after(60));
    // Those of 16:00 and of the next day are found a day later.
    await t.pulse(sql, t.after(60 * 25));
    assert.deepEqual(await intervals(sql), [120, 60, 180, 60 * 18, 120, 60]);
    const [job] = await sql`select previous_run_at, next_run_at from scheduler_jobs`;
    assert.deepEqual(job, { previous_run_at: t.after(60 * 25), next_run_at: t.after(60 * 28) });
  },
);

t.ledgerTest("occurrences without work lie between, and count", async ({ sql, admin }) => {
  await admin.unsafe(`
    create function public.even_hours(p_at timestamptz) returns boolean language sql as $$
      select extract(hour from p_at)::integer % 2 = 0 $$;
    grant execute on function public.even_hours(timestamptz) to postgres`);
  await t.register(sql, "job", {
    schedule: "0 * * * *",
    run_if: "public.even_hours",
    overlap_policy: "allow",
  });
  for (const hour of [0, 1, 2]) await t.dispatch(sql, "job", t.after(hour * 60));
  assert.deepEqual(await intervals(sql), [60, 60]);
});

t.ledgerTest(
  "a retry has the interval of its occurrence; a skipped one gets it when it is retried by hand",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *" });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.finish(sql, id, "failed", t.NOON);
    const [retry] = await sql`select interval_from from scheduler_runs where attempt = 2`;
    assert.deepEqual(retry!.interval_from, t.after(-1440));
    await sql`delete from scheduler_runs`;
    await sql`update scheduler_jobs set next_run_at = ${t.NOON}`;
    await sql`select scheduler.pause('job', 'why', 'Ada', null, ${t.after(-5)})`;
    await t.dispatch(sql, "job");
    const [skipped] = await t.runs(sql, "job");
    await sql`select scheduler.retry_run(${skipped!.id}, 'Ada', ${t.after(5)})`;
    const again = await sql`select interval_from from scheduler_runs order by attempt`;
    assert.deepEqual(again.map((row) => row.interval_from), [null, t.after(-1440)]);
  },
);

t.ledgerTest(
  "a call by hand reaches from the last occurrence to the call; what has none is a moment",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 * * * *" });
    const begun = await t.value(sql, "scheduler.begin_manual_run('job', 'job', null, 'me', $1)", [
      t.after(90),
    ]);
    assert.deepEqual([begun.interval_from, begun.interval_to], [
      "2026-03-02T13:00:00+00:00",
      "2026-03-02T13:30:00+00:00",
    ]);
    const other = await t.value(sql, "scheduler.begin_manual_run('nobody', null, null, 'me', $1)", [
      t.NOON,
    ]);
    assert.deepEqual([other.interval_from, other.interval_to], [
      "2026-03-02T12:00:00+00:00",
      "2026-03-02T12:00:00+00:00",
    ]);
  },
);

t.ledgerTest("other times of a job begin other intervals", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *" });
  await t.dispatch(sql, "job");
  await sql`select scheduler.register_job('job', '0 */6 * * *')`;
  await sql`update scheduler_jobs set next_run_at = ${t.after(360)}`;
  await t.dispatch(sql, "job", t.after(360));
  const [row] = await sql`select interval_from from scheduler_runs where scheduled_for = ${
    t.after(360)
  }`;
  assert.deepEqual(row!.interval_from, t.NOON);
});
