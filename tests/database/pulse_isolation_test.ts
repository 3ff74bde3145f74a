import assert from "node:assert/strict";
import * as t from "../support/scheduler.ts";

t.ledgerTest(
  "one job whose occurrences cannot be recorded does not stop the pulse for the others",
  async ({ sql }) => {
    await t.register(sql, "a-broken");
    await t.register(sql, "b-fine");
    await sql`update scheduler_jobs set schedule = 'nonsense' where name = 'a-broken'`;
    const report = await t.pulse(sql, t.after(1));
    assert.deepEqual(Object.keys(report.errors), ["a-broken"]);
    assert.equal(report.recorded, 1);
    assert.deepEqual(await t.summary(sql, "b-fine"), ["missed cron 1", "dispatched cron 1"]);
    const [state] = await sql`select errors, last_pulse_at from scheduler.pulse_state`;
    assert.deepEqual(state, { errors: report.errors, last_pulse_at: t.after(1) });
    const [job] = await sql`select next_run_at from scheduler_jobs where name = 'a-broken'`;
    assert.deepEqual(job!.next_run_at, t.NOON);

    await sql`update scheduler_jobs set schedule = '* * * * *' where name = 'a-broken'`;
    assert.deepEqual((await t.pulse(sql, t.after(1.5))).errors, {});
    assert.deepEqual(await t.summary(sql, "a-broken"), ["missed cron 1", "dispatched cron 1"]);
  },
);

t.ledgerTest(
  "one job whose waiting run cannot be sent does not stop the others",
  async ({ sql, admin }) => {
    for (const name of ["a-broken", "b-fine"]) {
      await t.register(sql, name, { schedule: "0 12 * * *" });
      const id = (await t.dispatch(sql, name))!;
      await t.begin(sql, id, t.NOON, name);
      await t.finish(sql, id, "failed", t.NOON);
    }
    await admin.unsafe(`
    create function public.refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$;
    create trigger refuse before update on scheduler_runs for each row
      when (new.job_name = 'a-broken' and new.status = 'dispatched') execute function public.refuse()`);
    const report = await t.pulse(sql, t.after(30));
    assert.deepEqual(report.errors, { "a-broken": "refused" });
    assert.deepEqual(await t.summary(sql, "b-fine"), [
      "failed cron 1 job_error",
      "dispatched retry 2",
    ]);
  },
);

t.ledgerTest("a job that somebody else holds is left to the next pulse", async (db) => {
  await t.register(db.sql, "held", { max_attempts: 1 });
  await t.register(db.sql, "free", { max_attempts: 1 });
  for (const name of ["held", "free"]) {
    await t.answer(db.sql, await t.start(db.sql, name), { status: 404 }, t.NOON);
  }
  const other = t.impatient(db);
  await db.sql.begin(async (transaction) => {
    await transaction`select from scheduler_jobs where name = 'held' for update`;
    await t.pulse(other, t.after(0.5));
  });
  assert.deepEqual(await t.summary(db.sql, "free"), ["failed cron 1 not_found"]);
  assert.deepEqual(await t.summary(db.sql, "held"), ["dispatched cron 1"]);
  await t.pulse(other, t.after(0.6));
  assert.deepEqual(await t.summary(db.sql, "held"), ["failed cron 1 not_found"]);
});

t.ledgerTest("a step of the pulse that fails is named and undone alone", async ({ sql, admin }) => {
  await t.register(sql, "job", { schedule: "0 12 * * *" });
  const id = (await t.dispatch(sql, "job"))!;
  await t.register(sql, "bent");
  await sql`update scheduler_jobs set cron_entry = 'no entry' where name = 'bent'`;
  await admin`revoke delete on cron.job_run_details from postgres`;
  await t.answer(sql, id, { status: 404 }, t.after(0.1));
  const report = await t.pulse(sql, t.after(1));
  assert.match(report.errors.bent, /no entry/);
  assert.match(report.errors["step pruned"], /permission denied/);
  assert.equal((await t.run(sql, id)).verdict, "not_found");
  const [state] = await sql`select last_pulse_at from scheduler.pulse_state`;
  assert.deepEqual(state!.last_pulse_at, t.after(1));
});

t.ledgerTest("the pulse beats again after its state was emptied", async ({ sql }) => {
  await sql`delete from scheduler.pulse_state`;
  await t.pulse(sql, t.NOON);
  assert.equal((await t.pulse(sql, t.after(1))).beat, true);
});
