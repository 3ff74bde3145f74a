import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { quietRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const second = (seconds: number) => new Date(t.NOON.getTime() + seconds * 1000);
const target = { target: "job" };

async function entry(sql: Sql, name: string): Promise<string | undefined> {
  const [row] = await sql`select schedule from cron.job where jobname = ${name} and active`;
  return row?.schedule;
}

t.ledgerTest(
  "a job of seconds has an entry of seconds, one of whole minutes an entry of minutes",
  async ({ sql }) => {
    for (
      const [schedule, expected] of [
        ["30 seconds", "15 seconds"],
        ["90 SECONDS", "45 seconds"],
        ["600 seconds", "*/10 * * * *"],
        ["@hourly", "0 * * * *"],
        ["30 9 LW * *", "30 9 */31,26-31 * 1-5"],
      ]
    ) {
      await sql`select scheduler.register_job('job', ${schedule!})`;
      assert.equal(await entry(sql, "job"), expected);
      const [job] =
        await sql`select schedule, cron_entry, next_run_at > now() as is_to_come from scheduler_jobs`;
      assert.deepEqual({ ...job }, { schedule, cron_entry: expected, is_to_come: true });
    }
  },
);

t.ledgerTest(
  "where pg_cron has no seconds, an interval must be whole minutes",
  async ({ sql, admin }) => {
    await sql`select scheduler.register_job('job', '300 seconds')`;
    // As pg_cron 1.4 does.
    await admin.unsafe(`
    create or replace function cron._check_schedule(p_schedule text) returns void language plpgsql as $$
    begin if p_schedule like '%seconds' then raise exception 'invalid schedule: %', p_schedule; end if; end $$`);
    await sql`select cron.unschedule('scheduler-pulse')`;
    for (const schedule of ["30 seconds", "90 seconds"]) {
      const error = await refusal(sql`select scheduler.register_job('job', ${schedule})`);
      assert.equal(error.code, "22023");
      assert.equal(
        error.message,
        `cannot register the job job: the schedule '${schedule}' needs a pg_cron that has seconds, and this one has none`,
      );
      assert.match(error.hint!, /whole minutes/);
      assert.equal(await entry(sql, "job"), "*/5 * * * *");
    }
    await sql`select scheduler.register_job('job', '7200 seconds')`;
    assert.equal(await entry(sql, "job"), "0 */2 * * *");
  },
);

t.ledgerTest(
  "pg_cron's entry of seconds drifts over the grid, and no occurrence is passed over",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "7 seconds" });
    await sql`update scheduler_jobs set next_run_at = ${second(0)}`;
    const [job] = await sql`select cron_entry from scheduler_jobs`;
    const period = Number(/^(\d+) seconds$/.exec(job!.cron_entry)![1]);
    // Measured on pg_cron 1.6.7: each start comes 5 to 28 ms later than its period.
    for (let at = 0; at < 1800; at += period + 0.028) {
      const id = await t.dispatch(sql, "job", second(at));
      if (id === null) continue;
      await t.begin(sql, id, second(at + 0.1));
      await t.finish(sql, id, "completed", second(at + 0.2));
    }
    const verdicts =
      await sql`select verdict, count(*)::int as runs from scheduler_runs group by 1`;
    assert.deepEqual(verdicts.map((row) => ({ ...row })), [{ verdict: "ok", runs: 258 }]);
  },
);

t.ledgerTest(
  "an entry of an interval is not compiled anew as the cursor moves",
  async ({ sql }) => {
    // Each with another entry than compiling gives; one of seconds fires in every minute.
    for (
      const [name, schedule, other] of [
        ["a", "90 seconds", "7 seconds"],
        ["b", "300 seconds", "* * * * *"],
      ] as const
    ) {
      await t.register(sql, name, {
        schedule,
        time_zone: "Europe/Berlin",
        overlap_policy: "allow",
      });
      await sql`update scheduler_jobs set cron_entry = ${other} where name = ${name}`;
      assert.ok(await t.dispatch(sql, name));
      const [job] =
        await sql`select cron_entry, next_run_at > ${t.NOON} as moved from scheduler_jobs
          where name = ${name}`;
      assert.deepEqual({ ...job }, { cron_entry: other, moved: true });
    }
  },
);

t.ledgerTest(
  "an interval's run that its entry starts within its period is no catch-up",
  async ({ sql }) => {
    await t.register(sql, "half", { schedule: "30 seconds" });
    await t.register(sql, "hour", { schedule: "3600 seconds" });
    await t.dispatch(sql, "half", second(29));
    assert.deepEqual(await t.summary(sql, "half"), ["dispatched cron 1"]);
    // Its entry is of minutes: so late it was found by the pulse, or with another's.
    assert.deepEqual(await t.summary(sql, "hour"), ["dispatched catch_up 1"]);
  },
);

/** When something that pg_cron starts in seconds is started: it drifts by some 6 ms each time. */
function starts(period: number, first: number, until: number): number[] {
  const times: number[] = [];
  for (let at = first; at < until; at += period + 0.006) times.push(at);
  return times;
}

interface Events {
  dispatches: boolean;
  pulses: boolean;
  lengthSeconds: number;
  /** How late a run may be dispatched. */
  most: number;
}

/** What pg_cron would start of two jobs and the pulse; each run ends before the next begins. */
async function simulate(
  sql: Sql,
  seed: number,
  { dispatches, pulses, lengthSeconds, most }: Events,
) {
  const random = quietRandom(seed);
  const jobs = [
    { name: "half", schedule: "30 seconds", seconds: 30, period: 30 },
    { name: "more", schedule: "90 seconds", seconds: 90, period: 45 },
  ];
  for (const { name, schedule } of jobs) await t.register(sql, name, { schedule, ...target });
  // Anywhere within the first period, but for the last second, into which it drifts.
  const first = (period: number) => random.whole(100, period * 1000 - 1000) / 1000;
  const events = jobs.flatMap(({ name, period }) =>
    dispatches ? starts(period, first(period), lengthSeconds).map((at) => ({ at, name })) : []
  ).concat(pulses ? starts(10, first(10), lengthSeconds).map((at) => ({ at, name: "pulse" })) : []);
  // What starts in the same second comes in any order.
  events.sort((a, b) => Math.floor(a.at) - Math.floor(b.at) || random.pick([-1, 1]));

  let clock = 0;
  for (const { at, name } of events) {
    clock = Math.max(clock, at);
    const now = second(clock);
    if (name === "pulse") await t.pulse(sql, now);
    else await t.dispatch(sql, name, now);
    await sql`select scheduler.begin_run(id, 'job', 'tester', ${now}) from scheduler_runs where status = 'dispatched'`;
    await sql`select scheduler.finish_run(id, 'completed', '{}', null, null, true, ${now})
      from scheduler_runs where status = 'running'`;
  }

  for (const { name, seconds } of jobs) {
    const rows = await t.runs(sql, name);
    const last = Math.floor(clock / seconds) * seconds;
    assert.ok(last >= lengthSeconds - 100);
    // The newest occurrence may be to come with the next start.
    const expected = Array.from(
      { length: last / seconds + 1 },
      (_, i) => second(i * seconds).toISOString(),
    );
    const found = rows.map(({ scheduled_for }) => scheduled_for.toISOString());
    assert.ok(found.length >= expected.length - 1);
    assert.deepEqual(found, expected.slice(0, found.length), name);
    for (const row of rows) {
      assert.deepEqual([row.status, row.trigger, row.attempt], ["completed", "cron", 1]);
      const late = (row.dispatched_at - row.scheduled_for) / 1000;
      assert.ok(late >= 0 && late <= most, `${name}: ${late} s late`);
    }
  }
  await t.assertInvariants(sql);
}

t.ledgerTest(
  "jobs of 30 and of 90 seconds: each occurrence of an hour has one row, dispatches and pulses in any order",
  async ({ sql }) =>
    await simulate(sql, 1, { dispatches: true, pulses: true, lengthSeconds: 3600, most: 10.1 }),
);

t.ledgerTest(
  "jobs of seconds by their entries alone: one row each, at most a period late",
  async ({ sql }) =>
    await simulate(sql, 2, { dispatches: true, pulses: false, lengthSeconds: 900, most: 45.1 }),
);

t.ledgerTest(
  "jobs of seconds by the pulse alone: one row each",
  async ({ sql }) =>
    await simulate(sql, 3, { dispatches: false, pulses: true, lengthSeconds: 900, most: 10.1 }),
);

t.ledgerTest(
  "an outage of an interval: the newest late occurrence runs, a long gap is one row",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "30 seconds" });
    await t.dispatch(sql, "job", second(100));
    assert.deepEqual(
      (await t.runs(sql, "job")).map((
        row,
      ) => [row.scheduled_for.toISOString().slice(14, 19), row.status, row.skip_kind]),
      [
        ["00:00", "missed", "superseded"],
        ["00:30", "missed", "superseded"],
        ["01:00", "missed", "superseded"],
        ["01:30", "dispatched", null],
      ],
    );
    await t.register(sql, "long", { schedule: "10 seconds" });
    await t.dispatch(sql, "long", second(86_400));
    const [gap] = await t.runs(sql, "long");
    // A day but for the last five minutes, which are in time.
    assert.deepEqual([gap!.occurrences, gap!.status], [8640 - 30, "missed"]);
    const [sum] =
      await sql`select sum(occurrences)::integer as all from scheduler_runs where job_name = 'long'`;
    assert.equal(sum!.all, 8641);
  },
);

t.ledgerTest("explain: the latest occurrence of the minute", async ({ sql }) => {
  const explain = (at: Date, now: Date, name = "job") =>
    t.value(sql, "scheduler.explain_json($1, $2, $3)", [name, at, now]);
  await t.register(sql, "job", { schedule: "90 seconds" });
  await t.dispatch(sql, "job", second(1));
  // 12:01:30 is the minute's only occurrence, and the cursor.
  assert.equal((await explain(second(60), second(75))).kind, "to_come");
  assert.equal((await explain(second(60), second(75))).wait_seconds, 15);
  assert.equal((await explain(second(60), second(95))).kind, "not_recorded");
  assert.equal((await explain(second(120), second(121))).kind, "not_due");
  await t.dispatch(sql, "job", second(91));
  const newest = (await t.runs(sql, "job")).at(-1);
  assert.equal((await explain(second(60), second(95))).run_id, newest!.id);

  await t.register(sql, "other", { schedule: "20 seconds" }, second(180));
  await t.dispatch(sql, "other", second(180));
  await t.dispatch(sql, "other", second(200));
  const latest = (await t.runs(sql, "other")).at(-1);
  assert.equal(latest!.scheduled_for.getTime(), second(200).getTime());
  assert.equal((await explain(second(180), second(201), "other")).run_id, latest!.id);
});

t.ledgerTest(
  "explain: a moment with seconds means the occurrence then, of an interval and of a continuous job",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "15 seconds" });
    await sql`update scheduler_jobs set next_run_at = ${second(0)}`;
    const first = (await t.dispatch(sql, "job", second(0)))!;
    await t.begin(sql, first, second(1));
    await t.finish(sql, first, "failed", second(2), false);
    const other = (await t.dispatch(sql, "job", second(15)))!;
    await t.begin(sql, other, second(16));
    await t.finish(sql, other, "completed", second(17));
    const explain = async (at: number | null, now = 20) =>
      await t.value(sql, "scheduler.explain('job', $1, $2)", [
        at === null ? null : second(at),
        second(now),
      ]);
    assert.match(await explain(15), /^job ran at 2026-03-02 12:00:15 UTC/);
    for (const at of [7, 14.9]) {
      assert.match(await explain(at), /^job failed at 2026-03-02 12:00:00 UTC/);
    }
    assert.match(await explain(31), /^job is due at 2026-03-02 12:00:30 UTC, in 10 seconds/);
    assert.match(await explain(null), /^job ran at 2026-03-02 12:00:15 UTC/);
  },
);
