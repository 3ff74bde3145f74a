import assert from "node:assert/strict";
import { createCronWorker, type CronWorker } from "../../local/cron-worker.ts";
import { type TestDatabase, withDatabase } from "../support/database.ts";

/** A worker that has just seen 12:00:30 and is told the time by the test. */
async function withWorker(
  fn: (worker: CronWorker, db: TestDatabase) => Promise<void>,
): Promise<void> {
  await withDatabase(async (db) => {
    const adminUrl = new URL(db.url);
    adminUrl.username = "supabase_admin";
    const worker = await createCronWorker({ adminUrl: adminUrl.href, now: () => at("12:00:30") });
    try {
      await fn(worker, db);
    } finally {
      await worker.stop();
    }
  }, { migrated: false });
}

const at = (time: string) => new Date(`2026-11-21T${time}Z`);

Deno.test("a due command runs once, as its owner, and leaves its row", () =>
  withWorker(async (worker, { sql, name }) => {
    await sql`create table public.said (who text, session text)`;
    await sql`
      select cron.schedule('say', '1 12 * * *',
        'insert into public.said values (current_user, session_user)')`;
    await worker.tick(at("12:01:00"));
    await worker.tick(at("12:01:40"));
    await worker.tick(at("12:02:00"));
    assert.deepEqual([...await sql`select * from public.said`], [
      { who: "postgres", session: "postgres" },
    ]);
    const [run] = await sql`select * from cron.job_run_details`;
    assert.equal(run!.status, "succeeded");
    assert.equal(run!.return_message, "INSERT 1");
    assert.equal(run!.username, "postgres");
    assert.equal(run!.database, name);
    assert.ok(run!.job_pid > 0 && run!.start_time <= run!.end_time);
  }));

Deno.test("a query that succeeds leaves its number of rows, one that fails its message", () =>
  withWorker(async (worker, { sql }) => {
    await sql`select cron.schedule('good', '* * * * *', 'select generate_series(1, 3)')`;
    await sql`select cron.schedule('bad', '* * * * *', 'select 1 / 0')`;
    await worker.tick(at("12:01:00"));
    const runs = await sql`select status, return_message from cron.job_run_details order by status`;
    assert.deepEqual([...runs], [
      { status: "failed", return_message: "ERROR:  division by zero\n" },
      { status: "succeeded", return_message: "3 rows" },
    ]);
  }));

Deno.test("an inactive job, another minute's job and another database's job do not run", () =>
  withWorker(async (worker, { sql }) => {
    await sql`select cron.alter_job(cron.schedule('off', '* * * * *', 'select 1'), active := false)`;
    await sql`select cron.schedule('later', '2 * * * *', 'select 1')`;
    await sql`select cron.schedule_in_database('elsewhere', '* * * * *', 'select 1', 'postgres')`;
    await worker.tick(at("12:01:00"));
    assert.equal((await sql`select * from cron.job_run_details`).length, 0);
  }));

Deno.test("up to 5 minutes slept through are run, after more only what has a fixed time", () =>
  withWorker(async (worker, { sql }) => {
    await sql`select cron.schedule('each', '* * * * *', 'select 1')`;
    await sql`select cron.schedule('fixed', '8 12 * * *', 'select 2')`;
    const runs = async () => {
      const rows = await sql`
        select command, count(*)::integer from cron.job_run_details group by 1 order by 1`;
      return rows.map((row) => row.count);
    };
    await worker.tick(at("12:05:00"));
    assert.deepEqual(await runs(), [5]);
    await worker.tick(at("12:15:00"));
    assert.deepEqual(await runs(), [6, 1]);
    // A clock that was set ahead by hours, then back a little.
    await worker.tick(at("18:00:00"));
    assert.deepEqual(await runs(), [7, 1]);
    await worker.tick(at("17:30:00"));
    assert.deepEqual(await runs(), [7, 1]);
  }));

Deno.test("one job runs one at a time, two jobs run side by side", () =>
  withWorker(async (worker, { sql }) => {
    await sql`create table public.spans (job text, began timestamptz, ended timestamptz)`;
    for (const job of ["a", "b"]) {
      await sql`select cron.schedule(${job}, '* * * * *',
        ${`insert into public.spans select '${job}', clock_timestamp() from pg_sleep(0.2)`})`;
    }
    await worker.tick(at("12:02:00"));
    const overlaps = await sql`
      select one.jobid = other.jobid as same, count(*)::integer
      from cron.job_run_details as one
      join cron.job_run_details as other on one.runid < other.runid
        and one.start_time < other.end_time and other.start_time < one.end_time
      group by 1`;
    assert.ok(!overlaps.some((row) => row.same), "a job overlapped itself");
    assert.ok(overlaps.some((row) => !row.same), "two jobs waited for each other");
  }));

Deno.test("a new worker marks what the last one left running as failed", () =>
  withWorker(async (_, { sql, admin, url }) => {
    await admin`
      insert into cron.job_run_details (jobid, username, status)
      values (1, 'postgres', 'running'), (1, 'postgres', 'succeeded')`;
    const adminUrl = new URL(url);
    adminUrl.username = "supabase_admin";
    await (await createCronWorker({ adminUrl: adminUrl.href })).stop();
    const runs = await sql`select status, return_message from cron.job_run_details order by runid`;
    assert.deepEqual([...runs], [
      { status: "failed", return_message: "server restarted" },
      { status: "succeeded", return_message: null },
    ]);
  }));
