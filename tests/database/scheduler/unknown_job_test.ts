import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "all functions that take a job refuse an unknown one in the same words",
  async ({ sql }) => {
    await t.register(sql, "job");
    await t.register(sql, "other");
    // Each that promises it, with null for its other arguments.
    const calls = await sql`
    select proname as name, format('select * from scheduler.%I(p_job_name => %L%s)', proname, 'nope', (
      select string_agg(format(', %I => null::%s', proargnames[place], format_type(type, null)), '' order by place)
      from unnest(proargtypes) with ordinality as arguments (type, place)
      where place <= pronargs - pronargdefaults and proargnames[place] <> 'p_job_name')) as call
    from pg_proc
    where pronamespace = 'scheduler'::regnamespace and 'p_job_name' = any (proargnames)
      and obj_description(oid, 'pg_proc') like '%SD001%'
    order by 1`;
    const names = calls.map(({ name }) => name);
    for (const name of ["enqueue_runs", "next_runs", "open_runs", "run_now", "unregister_job"]) {
      assert.ok(names.includes(name), name);
    }
    for (const { name, call } of calls) {
      const { code, message, hint } = await refusal(sql.unsafe(call));
      assert.deepEqual([code, message], ["SD001", "there is no job named 'nope'"], name);
      assert.match(hint!, /(^|; )the jobs are: job, other$/, name);
    }
  },
);

t.ledgerTest("runs that a job left behind are found by their key", async ({ sql }) => {
  await sql`select scheduler.register_job('job', null)`;
  await sql`select scheduler.enqueue_runs('job', '[{"key": "a"}]')`;
  await sql`select scheduler.unregister_job('job')`;
  assert.equal((await sql`select from scheduler.open_runs('job', 'a')`).length, 1);
});
