// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { timeoutsFire } from "../../support/moments.ts";
import { readSamples } from "../../support/exposed-metrics.ts";
import * as t from "../../support/scheduler.ts";

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
    assert.deepEqual(await t.summary(sql, "a-broken"), ["missed cron 1", "dispatched catch_up 1"]);
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
  await admin`revoke delete on cron.job_run_details from public, postgres`;
  await t.answer(sql, id, { status: 404 }, t.after(0.1));
  const report = await t.pulse(sql, t.after(1));
  assert.match(report.errors.bent, /no entry/);
  assert.match(report.errors["step pruned"], /permission denied/);
  assert.equal((await t.run(sql, id)).verdict, "not_found");
  const [state] = await sql`select last_pulse_at from scheduler.pulse_state`;
  assert.deepEqual(state!.last_pulse_at, t.after(1));
});

t.ledgerTest("a pulse whose steps all fail does not count as one", async ({ sql, admin }) => {
  await t.pulse(sql, t.NOON);
  await admin.unsafe(`
    create or replace function scheduler.pulse_step(p_step text, p_now timestamptz, p_budget_ms integer) returns jsonb
    language plpgsql as $$ begin
      return jsonb_build_object('failed', true, 'errors', jsonb_build_object('step ' || p_step, 'broken'));
    end $$`);
  await t.pulse(sql, t.after(1));
  const [state] = await sql`select last_pulse_at, errors from scheduler.pulse_state`;
  assert.deepEqual(state!.last_pulse_at, t.NOON);
  assert.deepEqual(Object.keys(state!.errors).sort(), [
    "step alerts",
    "step answers",
    "step jobs",
    "step mended",
  ]);
  const samples = await readSamples(sql, t.after(1));
  assert.equal(samples.get("scheduler_pulse_age_seconds"), 60);
  assert.equal(samples.get("scheduler_pulse_errors"), 4);
});

t.ledgerTest(
  "a run_if that a statement timeout cancels costs its own job that occurrence",
  async (db) => {
    const { sql, admin } = db;
    await admin.unsafe(`
    create function public.slow(p_at timestamptz) returns boolean language plpgsql as $$
      begin perform pg_sleep(60); return true; end $$;
    grant execute on function public.slow to postgres`);
    await t.register(sql, "a-slow", { run_if: "public.slow" });
    await t.register(sql, "b-fine");
    const impatient = db.connect("postgres", { connection: { statement_timeout: 1000 } });
    await t.pulse(impatient, t.after(0.1));
    assert.deepEqual(await t.summary(sql, "b-fine"), ["dispatched cron 1"]);
    assert.deepEqual(await t.summary(sql, "a-slow"), ["failed cron 1 dispatch_failed"]);
    const [state] = await sql`select last_pulse_at from scheduler.pulse_state`;
    assert.deepEqual(state!.last_pulse_at, t.after(0.1));
  },
  { ignore: !timeoutsFire },
);

t.ledgerTest(
  "a pulse that runs out of time says so, and the next goes on behind it",
  async ({ sql }) => {
    for (const name of ["a", "b", "c"]) await t.register(sql, name);
    const pulse = () => t.value(sql, "scheduler.pulse($1, 0)", [t.NOON]);
    const more = [];
    for (let beat = 0; beat < 3; beat++) {
      more.push((await pulse()).more);
      const [left] =
        await sql`select string_agg(name, '' order by name) as due from scheduler_jobs where next_run_at <= ${t.NOON}`;
      more.push(left!.due);
    }
    assert.deepEqual(more, [true, "bc", true, "c", false, null]);
  },
);

t.ledgerTest(
  "beat() pulses until there is nothing more to do, and commits in between",
  async (db) => {
    const { sql } = db;
    for (let job = 0; job < 120; job++) await t.register(sql, `job-${job}`, {}, new Date());
    await sql`update scheduler_jobs set next_run_at = date_trunc('minute', now())`;
    const [command] = await sql`select scheduler.pulse_command() as text`;
    // It stops after 8 seconds, and goes on with the next call: 120 jobs can take that long on a busy machine.
    for (let begun = 0, took = 8000; took >= 8000; took = performance.now() - begun) {
      begun = performance.now();
      await sql.unsafe(command!.text);
    }
    const [seen] = await sql`
    select count(distinct job_name)::int as jobs, count(distinct xmin::text)::int as transactions from scheduler_runs`;
    // At a full minute all are due again.
    assert.equal(seen!.jobs, 120);
    assert.ok(seen!.transactions > 1);
  },
);

t.ledgerTest("the pulse beats again after its state was emptied", async ({ sql }) => {
  await sql`delete from scheduler.pulse_state`;
  await t.pulse(sql, t.NOON);
  assert.equal((await t.pulse(sql, t.after(1))).beat, true);
});

t.ledgerTest("a step that a statement timeout cancels undoes only itself", async (db) => {
  await t.register(db.sql, "job");
  await db.admin.unsafe(`
    create or replace function scheduler.note_answers(p_now timestamptz) returns integer
    language plpgsql as $$ begin perform pg_sleep(60); return 0; end $$`);
  const impatient = db.connect("postgres", { connection: { statement_timeout: 1000 } });
  const report = await t.pulse(impatient, t.after(0.1));
  assert.match(report.errors["step answers"], /statement timeout/);
  assert.deepEqual(await t.summary(db.sql, "job"), ["dispatched cron 1"]);
}, { ignore: !timeoutsFire });
