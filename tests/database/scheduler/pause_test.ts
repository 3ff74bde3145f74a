import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "a paused job's occurrences become skipped rows with reason and author",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 * * * *", time_zone: "Europe/Berlin" });
    const said = await t.value(sql, "scheduler.pause('job', ' moving house ', 'Ada', $1, $2)", [
      t.after(90),
      t.after(-1),
    ]);
    assert.equal(
      said,
      "job is paused until 2026-03-02 14:30 Europe/Berlin; its occurrences are recorded as skipped",
    );
    for (const minute of [0, 60, 120]) await t.dispatch(sql, "job", t.after(minute));
    assert.deepEqual(await t.summary(sql, "job"), [
      "skipped cron 1",
      "skipped cron 1",
      "dispatched cron 1",
    ]);
    const [first] = await t.runs(sql, "job");
    assert.equal(first!.skip_reason, "paused by Ada: moving house");
    assert.equal((await t.requests(sql)).length, 1);
  },
);

t.ledgerTest(
  "a run under way goes on in a pause; its retry waits for the end",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *" });
    const id = (await t.dispatch(sql, "job"))!;
    await sql`select scheduler.pause('job', 'r', 'a', ${t.after(60)}, ${t.NOON})`;
    assert.equal((await t.begin(sql, id, t.NOON)).begun, true);
    await t.finish(sql, id, "failed", t.after(1));
    await t.pulse(sql, t.after(59));
    assert.equal((await t.summary(sql, "job"))[1], "queued retry 2");
    await t.pulse(sql, t.after(60));
    assert.equal((await t.summary(sql, "job"))[1], "dispatched retry 2");
  },
);

t.ledgerTest(
  "resume ends the pause; occurrences that came due in it stay skipped",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 * * * *", misfire_policy: "all" });
    await sql`select scheduler.pause('job', 'r', 'a', null, ${t.after(-1)})`;
    const said = await t.value(sql, "scheduler.resume('job', 'ann', $1)", [t.after(150)]);
    assert.equal(said, "job runs again; next at 2026-03-02 15:00 UTC");
    assert.deepEqual(await t.summary(sql, "job"), Array(3).fill("skipped cron 1"));
    await t.dispatch(sql, "job", t.after(180));
    assert.equal((await t.summary(sql, "job"))[3], "dispatched cron 1");
    assert.equal(
      await t.value(sql, "scheduler.resume('job', 'ann', $1)", [t.after(181)]),
      "job was not paused",
    );
  },
);

t.ledgerTest("resume after a long pause in which nothing beat skips all of it", async ({ sql }) => {
  await t.register(sql, "job", { misfire_policy: "all" });
  await sql`select scheduler.pause('job', 'r', 'a', null, ${t.after(-1)})`;
  await sql`select scheduler.resume('job', 'ann', ${t.after(2500)})`;
  const rows = await t.runs(sql, "job");
  assert.ok(rows.every((row) => row.status === "skipped" && row.skip_kind === "paused"));
  assert.equal(rows.reduce((sum, row) => sum + row.occurrences, 0), 2501);
});

t.ledgerTest("a pause that is made longer still covers its beginning", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 * * * *" });
  await sql`select scheduler.pause('job', 'r', 'a', ${t.after(90)}, ${t.after(-1)})`;
  await sql`select scheduler.pause('job', 'longer', 'b', ${t.after(190)}, ${t.after(80)})`;
  await t.pulse(sql, t.after(150));
  assert.deepEqual(await t.summary(sql, "job"), Array(3).fill("skipped cron 1"));
});

t.ledgerTest(
  "a pause needs a job, a reason, an author and an end that is to come",
  async ({ sql }) => {
    await t.register(sql, "job");
    const refused = async (...args: unknown[]) => {
      const error = await refusal(
        t.value(sql, "scheduler.pause($1, $2, $3, $4, $5)", [...args, t.NOON]),
      );
      return `${error.code} ${error.message}`;
    };
    assert.match(await refused("nobody", "r", "a", null), /^SD001 there is no job named 'nobody'/);
    for (const missing of ["", "  ", null]) {
      assert.match(
        await refused("job", missing, "a", null),
        /^22023 .* reason and author must be given/,
      );
      assert.match(
        await refused("job", "r", missing, null),
        /^22023 .* reason and author must be given/,
      );
    }
    for (const until of [t.NOON, t.after(-1)]) {
      assert.match(await refused("job", "r", "a", until), /^22023 .* until must be in the future/);
    }
    const never = t.value(sql, "scheduler.pause('job', 'r', 'a', '-infinity', $1)", [t.NOON]);
    assert.match((await refusal(never)).message, /until must be in the future, got -infinity/);
    const [job] = await sql`select paused_at from scheduler_jobs`;
    assert.equal(job!.paused_at, null);
  },
);

t.ledgerTest("a pause until infinity is one until resume", async ({ sql }) => {
  await t.register(sql, "job");
  assert.match(
    await t.value(sql, "scheduler.pause('job', 'r', 'a', 'infinity', $1)", [t.NOON]),
    /^job is paused until somebody resumes it; /,
  );
  const [job] = await sql`select paused_until from scheduler_jobs`;
  assert.equal(job!.paused_until, null);
});

t.ledgerTest("resume asks who it is, and says so in the activity", async ({ sql }) => {
  await t.register(sql, "job");
  await sql`select scheduler.pause('job', 'r', 'a', null, ${t.NOON})`;
  const error = await refusal(sql`select scheduler.resume('job', ' ')`);
  assert.deepEqual([error.code, error.message], [
    "22023",
    "cannot resume job: author must be given",
  ]);
  await t.value(sql, "scheduler.resume('job', 'ann', $1)", [t.after(1)]);
  const [line] = await sql`select source, message from scheduler_activity`;
  assert.deepEqual({ ...line }, { source: "job", message: "resumed by ann" });
});

t.ledgerTest("resume of a disabled job says that it is", async ({ sql }) => {
  await t.register(sql, "job");
  await sql`select scheduler.pause('job', 'r', 'a', null, ${t.NOON})`;
  await sql`select scheduler.register_job('job', '* * * * *', enabled => false)`;
  assert.equal(
    await t.value(sql, "scheduler.resume('job', 'ann', $1)", [t.after(1)]),
    "job is not paused any more, but cannot run: is disabled: register it with enabled => true",
  );
});

t.ledgerTest("a pause lasts while the clock is set back, and can be ended", async ({ sql }) => {
  await t.register(sql, "job");
  await sql`select scheduler.pause('job', 'a move', 'Ada', null, ${t.after(60)})`;
  await t.dispatch(sql, "job");
  assert.deepEqual(await t.summary(sql, "job"), ["skipped cron 1"]);
  assert.match(
    await t.value(sql, "scheduler.resume('job', 'Ada', $1)", [t.after(0.5)]),
    /^job runs again/,
  );
  await t.dispatch(sql, "job", t.after(1));
  assert.deepEqual(await t.summary(sql, "job"), ["skipped cron 1", "dispatched cron 1"]);
});

t.ledgerTest("what waits says at once what a person stops, and lets go", async ({ sql }) => {
  await sql`select scheduler.register_group('g', parallel_limit => 1)`;
  await sql`select scheduler.register_calendar('days')`;
  await t.register(sql, "job", { schedule: null, group_name: "g", breaker_failures: 1 });
  await t.register(sql, "own", { schedule: null, calendars: ["days"] });
  await sql`select scheduler.add_calendar_span('days', 'off', 'ann', '2026-03-02 00:00', p_now => ${t.NOON})`;
  for (const name of ["job", "own"]) {
    await sql`select scheduler.enqueue_runs(${name}, '[{}, {}]', null, ${t.NOON})`;
  }
  const waits = async () =>
    (await sql`select distinct waiting ->> 'for' as waits from scheduler_runs
      where job_name = 'job' and status = 'queued'`).map((row) => row.waits);
  const verb = (call: string) => t.value(sql, `scheduler.${call}`, [t.after(1)]);
  const [own] = await t.runs(sql, "own");
  assert.equal(own!.waiting.for, "calendar");
  await verb(`remove_calendar_span('days', '2026-03-02 00:00', 'ann', $1)`);
  assert.equal((await t.run(sql, own!.id)).waiting, null);

  const until = t.after(90).toISOString();
  await verb(`pause('job', 'why', 'ann', p_now => $1)`);
  assert.deepEqual(await waits(), ["paused"]);
  await verb(`pause_group('g', 'why', 'ann', p_now => $1)`);
  assert.deepEqual(await waits(), ["paused"]);
  await verb(`resume('job', 'ann', p_now => $1)`);
  assert.deepEqual(await waits(), ["group_paused"]);
  await verb(`start_incident('why', 'ann', p_now => $1)`);
  assert.deepEqual(await waits(), ["incident"]);
  await verb(`pause('job', 'why', 'ann', '${until}', p_now => $1)`);
  assert.deepEqual(await waits(), ["incident"]);
  await verb(`end_incident('ann', 0, p_now => $1)`);
  assert.deepEqual(await waits(), ["incident"], "its place on the ramp is a moment away");
  await sql`update scheduler_jobs set stopped_at = null, stopped_until = null`;
  await verb(`resume_group('g', 'ann', p_now => $1)`);
  assert.deepEqual(await waits(), ["paused"]);
  await verb(`resume('job', 'ann', p_now => $1)`);
  assert.deepEqual(await waits(), [null], "it goes with the next pulse");

  await sql`update scheduler_runs set waiting = '{"for": "breaker"}' where job_name = 'job' and status = 'queued'`;
  await sql`insert into scheduler_breakers (job_name, failures, opened_at) values ('job', 1, ${t.NOON})`;
  await verb(`close_breaker('job', 'why', 'ann', $1)`);
  assert.deepEqual(await waits(), [null]);
});

t.ledgerTest(
  "what a person lets go goes with the next pulse, also by a clock that was set back",
  async (db) => {
    const { sql } = db;
    await sql`select scheduler.register_group('g', parallel_limit => 5)`;
    await sql`select scheduler.register_calendar('days')`;
    await t.register(sql, "job", { schedule: null, group_name: "g", breaker_failures: 1 });
    await t.register(sql, "down", { schedule: null, depends_on: [] });
    const verb = (call: string) => t.value(sql, `scheduler.${call}`, [t.after(60)]);
    await verb("pause('job', 'why', 'ann', p_now => $1)");
    await verb("enqueue_runs('job', '[{}]', null, $1)");
    await verb("resume('job', 'ann', p_now => $1)");
    await verb("pause_group('g', 'why', 'ann', p_now => $1)");
    await verb("resume_group('g', 'ann', p_now => $1)");
    await sql`insert into scheduler_breakers (job_name, failures, opened_at) values ('job', 1, ${
      t.after(59)
    })`;
    await verb("close_breaker('job', 'why', 'ann', $1)");
    const holder = await db.sql.reserve();
    await holder`begin`;
    await holder`select from scheduler_jobs where name = 'down' for no key update`;
    await sql`select scheduler.follow('down', '{}', ${t.after(60)})`;
    await holder`rollback`;
    holder.release();
    assert.equal(await t.value(sql, "scheduler.wake_waiting($1)", [t.after(60)]) >= 0, true);
    const late = await sql`select * from scheduler.wakes where wake_at > 'epoch'`;
    assert.deepEqual([...late], []);
    await t.pulse(sql, t.after(1));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched enqueued 1"]);
  },
);
