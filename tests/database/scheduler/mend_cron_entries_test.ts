// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

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
  "an entry with another command is not mended, and the pulse goes on",
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

t.ledgerTest(
  "the pulse's entry beats every 10 seconds, and every minute without them",
  async (db) => {
    const { sql, admin } = db;
    const entry = async () =>
      (await sql`
    select schedule, command, active from cron.job where jobname = 'scheduler-pulse'`)[0];
    const right = {
      schedule: "10 seconds",
      command: "do $beat$ begin while scheduler.beat() loop commit; end loop; end $beat$",
      active: true,
    };
    assert.deepEqual(await entry(), right);
    await sql`select cron.alter_job(jobid, schedule => '5 * * * *', active => false) from cron.job
    where jobname = 'scheduler-pulse'`;
    await sql`select scheduler.sync_pulse_entry()`;
    assert.deepEqual(await entry(), right);
    // As pg_cron 1.4 does.
    await admin.unsafe(`
    create or replace function cron._check_schedule(p_schedule text) returns void language plpgsql as $$
    begin if p_schedule like '%seconds' then raise exception 'invalid schedule: %', p_schedule; end if; end $$`);
    await sql`select cron.unschedule('scheduler-pulse')`;
    assert.equal(await t.value(sql, "scheduler.sync_pulse_entry()"), "* * * * *");
    assert.deepEqual(await entry(), { ...right, schedule: "* * * * *" });
  },
);

t.ledgerTest("an entry scheduler-pulse of somebody else is refused, and stays", async ({ sql }) => {
  await sql`select cron.schedule('scheduler-pulse', '0 3 * * *', 'vacuum')`;
  const error = await refusal(sql`select scheduler.sync_pulse_entry()`);
  assert.equal(error.code, "42710");
  assert.match(error.message, /an entry named scheduler-pulse which is not Daybook's/);
  const [entry] = await sql`select command from cron.job where jobname = 'scheduler-pulse'`;
  assert.equal(entry!.command, "vacuum");
});

t.ledgerTest(
  "a clock that was ahead and went back holds up no mending and no pruning",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 0 1 1 *" }, new Date("2030-01-01T00:00:00Z"));
    await t.pulse(sql, t.after(300 * 1440));
    await sql`select cron.unschedule('job')`;
    const report = await t.pulse(sql, t.NOON);
    assert.equal(report.mended, 1);
    assert.equal(report.pruned, 0);
  },
);
