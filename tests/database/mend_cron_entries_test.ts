import assert from "node:assert/strict";
import * as t from "../support/scheduler.ts";

t.ledgerTest(
  "the pulse puts back pg_cron entries that were removed, switched off or changed",
  async ({ sql }) => {
    for (const name of ["removed", "inactive", "changed", "right"]) {
      await t.register(sql, name, { schedule: "0 0 * * *" }, t.after(12 * 60));
    }
    const entries = () =>
      sql`
    select jobname, schedule, command, active from cron.job where jobname <> 'scheduler-pulse' order by jobname`;
    const before = [...await entries()];
    await sql`select cron.unschedule('removed')`;
    await sql`select cron.alter_job(jobid, active => false) from cron.job where jobname = 'inactive'`;
    await sql`select cron.alter_job(jobid, schedule => '5 5 * * *') from cron.job where jobname = 'changed'`;
    assert.equal((await t.pulse(sql, t.NOON)).mended, 3);
    assert.deepEqual([...await entries()], before);
    assert.equal((await t.pulse(sql, t.after(1))).mended, 0);
  },
);

t.ledgerTest(
  "an entry that somebody gave another command is left alone, and the pulse goes on",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 0 * * *" }, t.after(12 * 60));
    await sql`select cron.alter_job(jobid, command => 'select 2', active => false) from cron.job where jobname = 'job'`;
    assert.equal((await t.pulse(sql, t.NOON)).mended, 0);
    const [entry] = await sql`select command, active from cron.job where jobname = 'job'`;
    assert.deepEqual(entry, { command: "select 2", active: false });
  },
);

t.ledgerTest(
  "a job whose compiled entry does not cover its next occurrence gets another",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 21 * * *", time_zone: "Asia/Tokyo" });
    await sql`update scheduler_jobs set cron_entry = '7 3 * * *'`;
    await t.dispatch(sql, "job");
    const [row] = await sql`
    select cron_entry, entry.schedule from scheduler_jobs join cron.job as entry on jobname = name where name = 'job'`;
    assert.deepEqual(row, { cron_entry: "0 12 * * *", schedule: "0 12 * * *" });
  },
);
