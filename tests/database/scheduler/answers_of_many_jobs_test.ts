import assert from "node:assert/strict";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("each answer is looked at three times, however many jobs have one", async (db) => {
  const jobs = 100;
  await db.sql`
    select scheduler.register_job('job-' || place, '* * * * *', receipt => 'response') from generate_series(1, ${jobs}::int) as place`;
  await db.sql`update scheduler_jobs set next_run_at = ${t.NOON}`;
  await t.dispatch(db.sql, "job-1");
  await db.sql`
    insert into net._http_response (id, status_code, timed_out, created)
    select request_id, 200, false, ${t.NOON} from scheduler_runs`;
  await db.admin`set track_functions = 'all'`;
  assert.equal((await t.pulse(db.admin, t.after(0.1))).answers, jobs);
  await db.admin`select pg_stat_force_next_flush()`;
  // To note those of runs at work, to find out which jobs to hear, and to hear its own job.
  const [looks] = await db.admin`
    select calls::int from pg_stat_user_functions where funcname = 'answer_verdict'`;
  assert.equal(looks!.calls, 3 * jobs);
});
