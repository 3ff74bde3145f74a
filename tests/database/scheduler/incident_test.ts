// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "an incident stops occurrences, retries, enqueued and continuous runs; what runs goes on",
  async ({ sql }) => {
    await t.register(sql, "clock");
    await t.register(sql, "retried", {
      schedule: "0 12 * * *",
      max_attempts: 3,
      backoff_base_seconds: 1,
    });
    await sql`select scheduler.register_job('asked', null)`;
    await sql`select scheduler.register_job('service', '@continuous')`;
    await t.pulse(sql, t.NOON);
    const retried = (await t.runs(sql, "retried"))[0]!.id;
    await t.begin(sql, retried, t.NOON, "retried");
    await t.finish(sql, retried, "failed", t.NOON);
    const clock = (await t.runs(sql, "clock"))[0]!.id;
    await t.begin(sql, clock, t.NOON, "clock");

    const said = await t.value(sql, "scheduler.start_incident('a leak', 'Ada', p_now => $1)", [
      t.after(0.5),
    ]);
    assert.equal(said, "4 jobs are stopped; what runs goes on");
    await sql`select scheduler.enqueue_runs('asked', '[{}]', null, ${t.after(0.6)})`;
    await t.finish(sql, clock, "completed", t.after(0.7));
    const service = (await t.runs(sql, "service"))[0]!.id;
    await t.begin(sql, service, t.after(0.7), "service");
    await t.finish(sql, service, "completed", t.after(0.8));
    await t.pulse(sql, t.after(5));
    assert.equal((await t.requests(sql)).length, 3, "nothing was sent since");
    const skipped = (await t.runs(sql, "clock")).filter((row) => row.skip_kind === "incident");
    assert.equal(skipped.length, 5);
    assert.equal(skipped[0]!.skip_reason, "an incident was called by Ada: a leak");
    for (const name of ["retried", "asked"]) {
      const waiting = (await t.runs(sql, name)).at(-1)!;
      assert.deepEqual([waiting.status, waiting.waiting.for], ["queued", "incident"], name);
      assert.match(
        await t.value(sql, "scheduler.explain($1, null, $2)", [name, t.after(5)]),
        /waits because an incident was called by Ada: a leak/,
      );
    }
    await assert.rejects(
      sql`select scheduler.start_incident('more', 'Bob')`,
      {
        code: "SD104",
        message: /one has lasted since 2026-03-02 12:00 UTC, called by Ada: a leak/,
      },
    );
    // A person's own run passes.
    await sql`select scheduler.run_now('clock', 'Ada', null, ${t.after(5)})`;
    assert.equal((await t.requests(sql)).length, 4);
  },
);

t.ledgerTest("told so, an incident ends what runs, and retries nothing of it", async ({ sql }) => {
  await t.register(sql, "clock", { schedule: "0 12 * * *" });
  const id = (await t.dispatch(sql, "clock"))!;
  await t.begin(sql, id, t.NOON, "clock");
  await sql`select scheduler.start_incident('a leak', 'Ada', true, ${t.after(1)})`;
  assert.deepEqual(await t.summary(sql, "clock"), ["cancelled cron 1"]);
  assert.deepEqual(await t.heartbeat(sql, id, t.after(1)), { running: false, status: "cancelled" });
  const [row] = await sql`select verb, author, reason, after from scheduler_audit
    where verb not like 'register%'`;
  assert.deepEqual(row, {
    verb: "start_incident",
    author: "Ada",
    reason: "a leak",
    after: { jobs: 1, ended_runs: 1 },
  });
});

t.ledgerTest(
  "jobs are resumed in the order of their dependencies, spread over the ramp",
  async ({ sql }) => {
    await sql`select scheduler.register_group('late', place => 5)`;
    await t.register(sql, "a-last", { depends_on: null, group_name: "late" });
    await t.register(sql, "z-root");
    await t.register(sql, "m-middle", { depends_on: ["z-root"] });
    await t.register(sql, "b-leaf", { depends_on: ["m-middle", "a-last"] });
    await sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.NOON})`;
    await sql`select scheduler.end_incident('Bob', 90, ${t.after(10)})`;
    const jobs = await sql`select name, stopped_until from scheduler_jobs order by stopped_until`;
    assert.deepEqual(jobs.map((job) => [job.name, job.stopped_until]), [
      ["z-root", t.after(10)],
      ["a-last", t.after(10.5)],
      ["m-middle", t.after(11)],
      ["b-leaf", t.after(11.5)],
    ]);
    const [incident] = await sql`select ended_by, ramp_seconds from scheduler_incidents`;
    assert.deepEqual(incident, { ended_by: "Bob", ramp_seconds: 90 });
    await t.pulse(sql, t.after(10));
    const [first] = await sql`select job_name from scheduler_runs where skip_kind is null`;
    assert.equal(first, undefined, "what came due in the incident stays skipped");
    await t.pulse(sql, t.after(12));
    const [over] = await sql`select count(stopped_at)::int as stopped from scheduler_jobs`;
    assert.equal(over!.stopped, 0, "the incident is over for all jobs");
    const started =
      await sql`select job_name from scheduler_runs where status = 'dispatched' order by 1`;
    assert.deepEqual(started.map((row) => row.job_name), ["a-last", "z-root"]);
    assert.equal(await t.value(sql, "scheduler.end_incident('Bob')"), "no incident lasts");
  },
);

t.ledgerTest(
  "a waiting run goes when its job's place on the ramp has come, in its own pulse",
  async ({ sql }) => {
    await sql`select scheduler.register_job('asked', null)`;
    await sql`select scheduler.register_job('before', null)`;
    await sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.NOON})`;
    await sql`select scheduler.enqueue_runs('before', '[{}]', null, ${t.after(0.5)})`;
    await sql`select scheduler.end_incident('Ada', 60, ${t.after(1)})`;
    await t.pulse(sql, t.after(1.9));
    assert.deepEqual(await t.summary(sql, "before"), ["queued enqueued 1"]);
    await t.pulse(sql, t.after(2));
    assert.deepEqual(await t.summary(sql, "before"), ["dispatched enqueued 1"]);
  },
);

t.ledgerTest(
  "a job that is registered while an incident lasts is stopped as well",
  async ({ sql }) => {
    await sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.NOON})`;
    await t.register(sql, "new");
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await t.summary(sql, "new"), ["skipped cron 1", "skipped cron 1"]);
  },
);

t.ledgerTest(
  "start_incident and end_incident need a reason, an author and a ramp that can be",
  async ({ sql }) => {
    await assert.rejects(
      sql`select scheduler.start_incident(' ', 'Ada')`,
      /reason and author must be given/,
    );
    await assert.rejects(sql`select scheduler.end_incident('')`, /author must be given/);
    await assert.rejects(
      sql`select scheduler.end_incident('Ada', -1)`,
      /ramp_seconds must be from 0 to 86400, got -1/,
    );
  },
);

t.ledgerTest(
  "a dispatch that began before an incident and comes to the job after it sends nothing",
  async ({ sql }) => {
    await t.register(sql, "clock");
    await sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.after(0.01)})`;
    await t.dispatch(sql, "clock", t.NOON);
    assert.deepEqual((await t.runs(sql, "clock")).map((row) => row.skip_kind), ["incident"]);
    assert.deepEqual(await t.requests(sql), []);
  },
);

t.ledgerTest("an incident lasts while the clock is set back", async ({ sql }) => {
  await sql`select scheduler.register_job('asked', null)`;
  await sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.NOON})`;
  await sql`select scheduler.enqueue_runs('asked', '[{}]', null, ${t.after(-60)})`;
  await t.pulse(sql, t.after(-59));
  assert.deepEqual(await t.summary(sql, "asked"), ["queued enqueued 1"]);
  await sql`select scheduler.end_incident('Ada', 0, ${t.after(-58)})`;
  await t.pulse(sql, t.after(-57));
  assert.deepEqual(await t.summary(sql, "asked"), ["dispatched enqueued 1"]);
});

t.ledgerTest(
  "the end of an incident locks the jobs by name, whatever it records of the first ones",
  async ({ sql, connect }) => {
    const names = Array.from({ length: 12 }, (_, at) => `job-${String(at).padStart(2, "0")}`);
    await t.register(sql, names[0]!);
    for (const name of names.slice(1, 11)) await t.register(sql, name, {}, t.after(600));
    await sql`select scheduler.register_job(${names[11]!}, null, depends_on => ${[names[0]!]})`;
    await sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.after(-1)})`;
    const ada = connect("postgres", { max: 1 });
    const [{ pid }] = await ada<[{ pid: number }]>`select pg_backend_pid() as pid`;
    let ended: Promise<unknown> = Promise.resolve();
    await connect("postgres").begin(async (ann) => {
      await ann`select scheduler.pause(${names[10]!}, 'a move', 'ann')`;
      ended = ada`select scheduler.end_incident('Ada', 0, ${t.after(1)})`.catch((error) => error);
      await t.untilBlocked(sql, pid);
      await ann`select scheduler.pause(${names[11]!}, 'a move', 'ann')`;
    });
    assert.ok(!(await ended instanceof Error), String(await ended));
  },
);

t.ledgerTest(
  "a circle that somebody wrote by hand does not keep an incident from ending",
  async (db) => {
    for (const name of ["one", "two"]) await t.register(db.sql, name);
    await db.sql`update scheduler_jobs set depends_on = '{one,two}'`;
    await db.sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.NOON})`;
    assert.match(
      await t.value(t.impatient(db), "scheduler.end_incident('Ada', 60, $1)", [t.after(1)]),
      /^2 jobs run again/,
    );
  },
);

t.ledgerTest(
  "an incident does not wait for a transaction that was left open, and stops its job after it",
  async (db) => {
    const sql = t.impatient(db);
    for (const name of ["free", "held"]) {
      await t.register(sql, name, { schedule: "* * * * *", overlap_policy: "allow" });
    }
    await t.pulse(sql, t.NOON);
    const holder = await db.sql.reserve();
    await holder`begin`;
    await holder`select pg_advisory_xact_lock(hashtextextended('daybook: registry', 0))`;
    await holder`select from scheduler_jobs where name = 'held' for no key update`;
    assert.equal(
      await t.value(sql, "scheduler.start_incident('a leak', 'Ada', true, $1)", [t.after(0.5)]),
      "1 job is stopped; 1 run told to end; held by other transactions, nothing of them is sent, and stopped when " +
        "those end: held",
    );
    assert.deepEqual(await t.summary(sql, "free"), ["cancelled cron 1"]);
    // What that transaction itself, or a receipt after it, would send waits.
    await holder`select scheduler.enqueue_runs('held', '[{}]', null, ${t.after(0.6)})`;
    const [waits] = await holder`select waiting from scheduler_runs where status = 'queued'`;
    assert.equal(waits!.waiting.for, "incident");
    await holder`commit`;
    holder.release();
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await t.requests(sql), [], "those of the two that ran were taken back");
    assert.deepEqual(await t.summary(sql, "held"), [
      "cancelled cron 1",
      "queued enqueued 1",
      "skipped cron 1",
    ]);
    await sql`select scheduler.end_incident('Ada', 0, ${t.after(2)})`;
    await t.pulse(sql, t.after(3));
    assert.equal((await t.summary(sql, "held"))[1], "dispatched enqueued 1");
    await t.assertInvariants(sql);
  },
);

t.ledgerTest(
  "the end of an incident does not wait for a transaction that was left open, and names what it holds",
  async (db) => {
    const sql = t.impatient(db);
    for (const name of ["free", "held"]) await t.register(sql, name);
    await sql`select scheduler.start_incident('a leak', 'Ada', p_now => ${t.NOON})`;
    const holder = await db.sql.reserve();
    for (
      const [lock, what] of [
        ["select from scheduler_jobs where name = 'held' for no key update", "held"],
        ["select pg_advisory_xact_lock(hashtextextended('daybook: registry', 0))", "the registry"],
      ]
    ) {
      await holder.unsafe(`begin; ${lock}`);
      const refused = await refusal(sql`select scheduler.end_incident('Ada', 0, ${t.after(1)})`);
      assert.equal(refused.code, "SD105");
      assert.ok(refused.message.endsWith(`other transactions hold ${what}`), refused.message);
      await holder`rollback`;
    }
    holder.release();
    assert.match(
      await t.value(sql, "scheduler.end_incident('Ada', 60, $1)", [t.after(2)]),
      /^2 jobs run again/,
    );
  },
);

t.ledgerTest("an incident waits a moment for a row that is held for a moment", async (db) => {
  const { sql } = db;
  await t.register(sql, "clock");
  const holder = await db.sql.reserve();
  await holder`begin`;
  await holder`select from scheduler_jobs where name = 'clock' for no key update`;
  const starter = await db.sql.reserve();
  const [{ pid }] = (await starter`select pg_backend_pid() as pid`) as unknown as [{ pid: number }];
  const said = starter`select scheduler.start_incident('a leak', 'Ada') as said`;
  const all = said.then(([row]) => row!.said);
  await t.untilBlocked(sql, pid);
  await holder`commit`;
  assert.equal(await all, "1 job is stopped; what runs goes on");
  holder.release();
  starter.release();
});
