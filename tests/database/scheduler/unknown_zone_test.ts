import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

const unknown = /cannot use the time zone "Mars\/Olympus"/;

/** The registry after a dump was restored on a Postgres with another time zone database; no one registered it so. */
async function moveToMars(sql: Sql, name = "job"): Promise<void> {
  await sql`update scheduler_jobs set time_zone = 'Mars/Olympus' where name = ${name}`;
}

t.ledgerTest("a zone that a job has from a dump is refused to another job", async ({ sql }) => {
  await t.register(sql, "job");
  await moveToMars(sql);
  for (const schedule of ["0 12 * * *", null]) {
    await assert.rejects(
      t.register(sql, "other", { schedule, time_zone: "Mars/Olympus" }),
      unknown,
    );
  }
});

t.ledgerTest("explain says that the zone is unknown, and tells of runs in UTC", async ({ sql }) => {
  const explain = (at: Date | null, now: Date) =>
    t.value(sql, "scheduler.explain('job', $1, $2)", [at, now]);
  await t.register(sql, "job", { schedule: "0 12 * * *", time_zone: "Europe/Berlin" });
  const id = (await t.dispatch(sql, "job", t.NOON))!;
  await moveToMars(sql);
  assert.match(
    await explain(null, t.after(0.5)),
    /^job was sent for 2026-03-02 12:00 UTC at 12:00:00 on attempt 1 of 3/,
  );
  await t.begin(sql, id, t.NOON);
  await t.finish(sql, id, "failed", t.NOON);
  assert.match(await explain(null, t.NOON), /waits for the first pulse after 12:/);
  const said = await explain(t.after(60), t.after(120));
  assert.match(said, /^job has no run at 2026-03-02 13:00 UTC, and cannot have any: /);
  assert.match(said, unknown);
  assert.match(said, /; register it again with a right one\.$/);
});

t.ledgerTest(
  "next_runs lists a job of an unknown zone or a broken schedule last, and all others",
  async ({ sql }) => {
    await t.register(sql, "job");
    await t.register(sql, "broken");
    await t.register(sql, "good");
    await moveToMars(sql);
    await sql`update scheduler_jobs set schedule = 'never' where name = 'broken'`;
    const rows = await sql`select * from scheduler.next_runs(null, 2, ${t.NOON})`;
    assert.deepEqual(rows.map((row) => [row.job_name, row.run_at]), [
      ["good", t.after(1)],
      ["good", t.after(2)],
      ["broken", null],
      ["job", null],
    ]);
    assert.match(
      rows[2]!.note,
      /^cannot read the schedule "never": .*; register it again with a right one$/,
    );
    assert.match(rows[3]!.note, unknown);
    const [alone] = await sql`select * from scheduler.next_runs('job', 2, ${t.NOON})`;
    assert.match(alone!.note, unknown);
  },
);

t.ledgerTest("pause, resume and run_now work on a job of an unknown zone", async ({ sql }) => {
  await t.register(sql, "job");
  await moveToMars(sql);
  assert.match(
    await t.value(sql, "scheduler.pause('job', 'r', 'a', $1, $2)", [t.after(90), t.after(-1)]),
    /^job is paused until 2026-03-02 13:30 UTC; /,
  );
  const said = await t.value(sql, "scheduler.resume('job', 'ann', $1)", [t.after(5)]);
  assert.match(said, /^job is not paused any more, but cannot run: /);
  assert.match(said, unknown);
  const [job] = await sql`select paused_at from scheduler_jobs`;
  assert.equal(job!.paused_at, null);
  await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(6)]);
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched manual 1"]);
});

t.ledgerTest(
  "registering the job again repairs it, and names the occurrences that have no row",
  async ({ sql }) => {
    await t.register(sql, "job");
    await moveToMars(sql);
    await sql`select scheduler.register_job('job', '* * * * *', 'Europe/Berlin')`;
    const [job] = await sql`select time_zone, next_run_at > now() as ahead from scheduler_jobs`;
    assert.deepEqual(job, { time_zone: "Europe/Berlin", ahead: true });
    const [line] = await sql`select severity, message from scheduler_activity where source = 'job'`;
    assert.equal(line!.severity, "warning");
    assert.match(
      line!.message,
      /^what came due under its old times is not in the ledger: cannot use the time zone/,
    );
    assert.match(await t.value(sql, "scheduler.resume('job', 'ann')"), /was not paused/);
  },
);

t.ledgerTest(
  "a dependent of an unknown zone, whose calendar cannot be asked, does not hold up what it depends on",
  async ({ sql }) => {
    await sql`select scheduler.register_calendar('holidays')`;
    await sql`select scheduler.add_calendar_span('holidays', 'New Year', 'Ada', '2027-01-01')`;
    await t.register(sql, "root", { schedule: "0 12 * * *" });
    await sql`
      select scheduler.register_job('job', null, depends_on => '{root}', calendars => '{holidays}')`;
    await moveToMars(sql);
    const root = (await t.dispatch(sql, "root"))!;
    await t.begin(sql, root, t.NOON, "root");
    await t.finish(sql, root, "completed", t.after(0.1));
    assert.match((await t.pulse(sql, t.after(0.2))).errors.job, /Mars\/Olympus/);
    assert.deepEqual(await t.summary(sql, "job"), []);

    await sql`update scheduler_jobs set time_zone = 'UTC' where name = 'job'`;
    await t.pulse(sql, t.after(0.3));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched dependency 1"]);
  },
);
