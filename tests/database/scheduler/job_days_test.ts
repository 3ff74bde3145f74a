import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { cases } from "../../support/cases.ts";
import { placeOf } from "../../support/days.ts";
import { quietRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

interface Ended {
  job?: string;
  status?: string;
  verdict?: string;
  durationMs?: number | null;
  result?: unknown;
}

/** A run that ends then. */
async function ended(
  sql: Sql,
  at: Date,
  { job = "job", status = "completed", verdict = "ok", durationMs = 1000, result = null }: Ended =
    {},
): Promise<void> {
  const begun = durationMs === null ? null : new Date(at.getTime() - durationMs);
  await sql`
    insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, dispatched_at, started_at,
      completed_at, duration_ms, verdict, result)
    values (${job}, 'job', ${status}, 'manual', ${at}, ${
    begun ?? at
  }, ${begun}, ${at}, ${durationMs}, ${verdict}, ${sql.json(result as never)})`;
}

// deno-lint-ignore no-explicit-any
type Day = Record<string, any>;
const daysOf = async (sql: Sql, job = "job"): Promise<Day[]> =>
  (await sql`select days.*, day::text as day_text from scheduler.job_days as days where job_name = ${job} order by days.day`)
    .map((row) => ({ ...row, day: row.day_text }));
/** A sparse array of Postgres: its counts by place. */
const countsOf = async (sql: Sql, column: string, job = "job") =>
  Object.fromEntries(
    (await sql.unsafe(
      `select place, sum(amount)::int as amount from scheduler.job_days,
        unnest(${column}) with ordinality as counts (amount, nth),
        lateral (select array_lower(${column}, 1) + nth - 1 as place) as places
      where job_name = $1 and amount is not null group by 1 order by 1`,
      [job],
    )).map(({ place, amount }) => [Number(place), amount]),
  );

t.ledgerTest("a run counts once, on the UTC day on which it ended", async ({ sql }) => {
  await t.register(sql, "job");
  await ended(sql, new Date("2026-03-02T23:59:59.999Z"), { durationMs: 90_000 });
  await ended(sql, new Date("2026-03-03T00:00:00Z"), { durationMs: 500 });
  await ended(sql, new Date("2026-03-03T12:00:00Z"), {
    status: "failed",
    verdict: "job_error",
    durationMs: 20,
  });
  await ended(sql, new Date("2026-03-03T12:10:00Z"), {
    status: "failed",
    verdict: "timed_out",
    durationMs: 120_000,
  });
  await ended(sql, new Date("2026-03-03T12:11:00Z"), {
    status: "cancelled",
    verdict: "cancelled",
    durationMs: null,
  });
  const [first, second, ...others] = await daysOf(sql);
  assert.deepEqual(others, []);
  assert.deepEqual([first!.day, first!.completed, first!.longest_ms], ["2026-03-02", 1, 90_000]);
  const { day, completed, failed, cancelled, verdicts, sent, wall_ms, success_rows, failure_rows } =
    second!;
  assert.deepEqual(
    { day, completed, failed, cancelled, verdicts, sent, wall_ms, success_rows, failure_rows },
    {
      day: "2026-03-03",
      completed: 1,
      failed: 2,
      cancelled: 1,
      verdicts: { ok: 1, job_error: 1, timed_out: 1, cancelled: 1 },
      sent: 4,
      wall_ms: "120520",
      success_rows: 1,
      failure_rows: 3,
    },
  );
  // What failed early says nothing of how long the job takes.
  assert.deepEqual([second!.shortest_ms, second!.longest_ms], [500, 120_000]);
  assert.deepEqual(await countsOf(sql, "durations"), {
    [placeOf(500)]: 1,
    [placeOf(90_000)]: 1,
    [placeOf(120_000)]: 1,
  });
  assert.deepEqual(await countsOf(sql, "hour_runs"), { [-1]: 1, 12: 1, 23: 1 });
  assert.deepEqual(await countsOf(sql, "hour_ms"), { [-1]: 500, 12: 120_000, 23: 90_000 });
});

t.ledgerTest("which runs say how long a job takes, and which are calls", async ({ sql }) => {
  await t.register(sql, "job");
  for (
    const [place, [status, verdict]] of [
      ["completed", "ok"],
      ["failed", "timed_out"],
      ["failed", "interrupted"],
      ["failed", "job_error"],
      ["failed", "lost"],
      ["deferred", "deferred"],
    ].entries()
  ) await ended(sql, t.NOON, { status: status!, verdict: verdict!, durationMs: 1000 * 2 ** place });
  // A URL is no edge function, and what was cancelled in the queue was not sent.
  await sql`
    insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, dispatched_at, completed_at, verdict)
    values ('job', null, 'failed', 'manual', ${t.NOON}, ${t.NOON}, ${t.NOON}, 'lost'),
      ('job', 'job', 'cancelled', 'manual', ${t.NOON}, null, ${t.NOON}, 'cancelled')`;
  assert.deepEqual(await countsOf(sql, "durations"), {
    [placeOf(1000)]: 1,
    [placeOf(2000)]: 1,
    [placeOf(4000)]: 1,
  });
  const [day] = await daysOf(sql);
  assert.deepEqual([day!.sent, day!.wall_ms, day!.shortest_ms, day!.longest_ms], [
    6,
    "63000",
    1000,
    4000,
  ]);
});

t.ledgerTest("hours are those of the day and of the day before", async ({ sql }) => {
  await t.register(sql, "job");
  const hour = 3_600_000;
  // As far back as a run may take, further, and after its end: by a clock that was set back.
  for (const ago of [24 * hour, 48 * hour - 60_000, 12 * hour, -12 * hour]) {
    const began = new Date(t.NOON.getTime() - ago);
    await sql`
      insert into scheduler_runs (job_name, status, trigger, scheduled_for, started_at, completed_at, duration_ms, verdict)
      values ('job', 'completed', 'manual', ${began}, ${began}, ${t.NOON}, 1000, 'ok')`;
  }
  assert.equal((await daysOf(sql))[0]!.completed, 4);
  assert.deepEqual(await countsOf(sql, "hour_runs"), { [-12]: 1, 0: 1 });
  assert.deepEqual(await countsOf(sql, "hour_ms"), { [-12]: 1000, 0: 1000 });
});

t.ledgerTest(
  "the whole way of a run counts it once, however often it is reported",
  async ({ sql }) => {
    await t.register(sql, "job", { max_attempts: 2, figures: ["seen"] });
    const run = await t.start(sql, "job");
    await t.begin(sql, run, t.after(0.1));
    await t.finish(sql, run, "failed", t.after(0.2));
    await t.finish(sql, run, "failed", t.after(0.3));
    await t.pulse(sql, t.after(5));
    const [retry] = (await t.runs(sql, "job")).filter(({ status }) => status === "dispatched");
    await t.begin(sql, retry!.id, t.after(5.1));
    await t.finish(sql, retry!.id, "completed", t.after(5.2));
    await t.finish(sql, retry!.id, "completed", t.after(5.3));
    await t.pulse(sql, t.after(5.5));
    const [day] = await daysOf(sql);
    assert.deepEqual([day!.completed, day!.failed, day!.verdicts.ok, day!.verdicts.job_error], [
      1,
      1,
      1,
      1,
    ]);
    assert.deepEqual(day!.figures, { seen: { sum: 1, least: 1, most: 1, runs: 1 } });
  },
);

t.ledgerTest(
  "random runs come to what the ledger says, also once it is pruned",
  async ({ sql }) => {
    const random = quietRandom(3);
    for (const name of ["one", "two"]) await t.register(sql, name, { schedule: null });
    for (let run = 0; run < cases(600); run++) {
      const at = t.after(random.whole(0, 6 * 1440));
      const status = random.pick(["completed", "completed", "failed", "deferred", "cancelled"]);
      const verdict = { completed: "ok", failed: random.pick(["lost", "timed_out"]) }[status] ??
        status;
      await ended(sql, at, {
        job: random.pick(["one", "two"]),
        status,
        verdict,
        durationMs: status === "cancelled" ? null : random.whole(0, 10 ** random.whole(1, 7)),
      });
    }
    const told = (from: string) =>
      sql.unsafe(`select * from (${from}) as days order by job_name, day`);
    const kept =
      `select job_name, day, completed, failed, deferred, cancelled, wall_ms, success_rows, failure_rows,
    shortest_ms, longest_ms, (select sum(runs) from unnest(durations) as runs) as timed,
    (select sum(runs) from unnest(hour_runs) as runs) as hours from scheduler.job_days`;
    const expected = await told(`
    select job_name, (completed_at at time zone 'UTC')::date as day,
      count(*) filter (where status = 'completed')::int as completed,
      count(*) filter (where status = 'failed')::int as failed,
      count(*) filter (where status = 'deferred')::int as deferred,
      count(*) filter (where status = 'cancelled')::int as cancelled,
      coalesce(sum(duration_ms), 0)::bigint as wall_ms,
      count(*) filter (where status in ('completed', 'deferred'))::int as success_rows,
      count(*) filter (where status in ('failed', 'cancelled'))::int as failure_rows,
      min(duration_ms) filter (where timed) as shortest_ms, max(duration_ms) filter (where timed) as longest_ms,
      nullif(count(*) filter (where timed), 0) as timed, nullif(count(*) filter (where timed), 0) as hours
    from scheduler_runs, lateral (select status = 'completed' or verdict = 'timed_out' as timed) as which
    group by 1, 2`);
    assert.deepEqual([...await told(kept)], [...expected]);
    await sql`select scheduler.prune(${t.after(400 * 1440)})`;
    assert.equal((await sql`select from scheduler_runs`).length, 0);
    assert.deepEqual([...await told(kept)], [...expected]);
  },
);

t.ledgerTest("an outage counts as the occurrences that its rows stand for", async ({ sql }) => {
  await t.register(sql, "job", { misfire_policy: "skip" });
  await t.register(sql, "hourly", { schedule: "0 * * * *", misfire_policy: "skip" });
  // Five days on, in one go: a gap is one row.
  await t.pulse(sql, t.after(5 * 1440 + 0.5));
  const sums = await sql`
    select job_name, sum(occurrences)::int as amount, count(*)::int as rows from scheduler_runs
    where status in ('missed', 'skipped') group by 1 order by 1`;
  for (const { job_name, amount, rows } of sums) {
    const [day, ...others] = await daysOf(sql, job_name);
    assert.deepEqual(others, [], "all of it was found on one day");
    const counted = Number(day!.missed) + Number(day!.skipped);
    assert.deepEqual([counted, day!.success_rows + day!.failure_rows, day!.day], [
      amount,
      rows,
      "2026-03-07",
    ]);
    const verdicts = Object.values(day!.verdicts).reduce(
      (sum: number, n) => sum + (n as number),
      0,
    );
    assert.equal(verdicts, amount);
  }
  assert.ok(sums.length === 2 && sums[1]!.amount > 7000 && sums[1]!.rows < sums[1]!.amount);
  // What comes on the same day is added.
  const [before] = await daysOf(sql, "hourly");
  for (const status of ["missed", "skipped", "missed"]) {
    await sql`
        insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict, skip_kind, skip_reason)
        select 'hourly', ${status}, 'manual', at, at, ${status}, 'paused', 'a test'
        from (select ${
      t.after(5 * 1440 + 60)
    }::timestamptz as at) as moment, generate_series(1, 3)`;
  }
  const [after] = await daysOf(sql, "hourly");
  const more = (column: string) => Number(after![column]) - Number(before![column]);
  assert.deepEqual(
    ["missed", "skipped", "success_rows", "failure_rows"].map(more),
    [6, 3, 3, 6],
  );
  assert.equal(after!.verdicts.missed, (before!.verdicts.missed ?? 0) + 6);
});

t.ledgerTest(
  "a clock that jumps puts a run on the day that it shows, and takes nothing away",
  async ({ sql }) => {
    await t.register(sql, "job");
    await ended(sql, t.NOON);
    await ended(sql, t.after(365 * 1440));
    await t.pulse(sql, t.after(365 * 1440));
    await ended(sql, t.after(-365 * 1440));
    await t.pulse(sql, t.after(-365 * 1440));
    await ended(sql, t.after(1));
    await t.pulse(sql, t.after(5));
    const days = (await daysOf(sql)).map(({ day, completed }) => [day, completed]);
    assert.deepEqual(days, [["2025-03-02", 1], ["2026-03-02", 2], ["2027-03-02", 1]]);
    // A day to come says nothing of what is to come.
    const [row] =
      await sql`select forecast -> 'days' as days from scheduler.job_forecasts where job_name = 'job'`;
    assert.equal(row!.days, 0);
  },
);

t.ledgerTest(
  "a job that is registered again goes on with its days; what no job names has none",
  async ({ sql }) => {
    await t.register(sql, "job");
    await ended(sql, t.NOON);
    await sql`select scheduler.unregister_job('job')`;
    await ended(sql, t.after(10));
    await ended(sql, t.after(10), { job: "nobody" });
    await t.register(sql, "job");
    await ended(sql, t.after(20));
    assert.deepEqual((await daysOf(sql)).map(({ completed }) => completed), [2]);
    assert.deepEqual(await daysOf(sql, "nobody"), []);
  },
);

t.ledgerTest(
  "figures are summed by day: numbers alone, of completed runs alone",
  async ({ sql }) => {
    await t.register(sql, "job", { figures: ["rows", "cost"] });
    const given: Ended[] = [
      { result: { rows: 5, cost: 0.25, other: 9 } },
      { result: { rows: -3 } },
      { result: { rows: 0, cost: 1e-9 } },
      { result: { rows: "7", cost: null } },
      { result: { rows: [1], cost: { a: 1 } } },
      { result: { rows: true } },
      { result: null },
      { result: [1, 2] },
      { result: "rows" },
      { result: { rows: 1e16 } },
      { result: { rows: 1000 }, status: "failed", verdict: "job_error" },
    ];
    for (const run of given) await ended(sql, t.NOON, run);
    const [day] = await daysOf(sql);
    assert.deepEqual(day!.figures, {
      rows: { sum: 2, least: -3, most: 5, runs: 3 },
      cost: { sum: 0.25, least: 0, most: 0.25, runs: 2 },
    });
    // What JSON can hold and no float can.
    await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict, result)
    values ('job', 'completed', 'manual', ${t.NOON}, ${t.NOON}, 'ok',
      ('{"rows": 1' || repeat('0', 5000) || ', "cost": 0.' || repeat('3', 5000) || '}')::jsonb)`;
    assert.deepEqual((await daysOf(sql))[0]!.figures.cost, {
      sum: 0.583333,
      least: 0,
      most: 0.333333,
      runs: 3,
    });
  },
);

t.ledgerTest("durations that cannot be do no harm", async ({ sql }) => {
  await t.register(sql, "job");
  for (const ms of [-5000, 0, 2_147_483_647]) {
    await sql`
      insert into scheduler_runs (job_name, status, trigger, scheduled_for, started_at, completed_at, duration_ms, verdict)
      values ('job', 'completed', 'manual', ${t.NOON}, ${t.NOON}, ${t.NOON}, ${ms}, 'ok')`;
  }
  const [day] = await daysOf(sql);
  assert.deepEqual([day!.shortest_ms, day!.longest_ms, day!.wall_ms], [
    0,
    2_147_483_647,
    "2147483647",
  ]);
  assert.deepEqual(await countsOf(sql, "durations"), { 0: 2, 441: 1 });
});

t.ledgerTest("two transactions that end the first runs of a day both count", async (db) => {
  const { sql } = db;
  await t.register(sql, "job", { overlap_policy: "allow" });
  const [first, second] = [db.connect(), db.connect()];
  const insert = (connection: Sql, at: Date) => ended(connection, at);
  const open = await first.reserve();
  await open`begin`;
  await insert(open as unknown as Sql, t.NOON);
  const other = insert(second, t.after(1));
  await open`commit`;
  open.release();
  await other;
  assert.equal((await daysOf(sql))[0]!.completed, 2);
});

t.ledgerTest("a job names at most five figures, each a field's name", async ({ sql }) => {
  for (
    const [figures, what] of [
      [["a", "b", "c", "d", "e", "f"], "figures must be at most 5, got 6"],
      [
        [""],
        "figures must be names of fields of the result: 1 to 63 letters, digits, - and _, the first a letter or _, got ''",
      ],
      [["a b"], "got 'a b'"],
      [["1st"], "got '1st'"],
      [["a".repeat(64)], `got '${"a".repeat(64)}'`],
      [["rows", null], "got null"],
      [["rows", "rows"], "figures must be named once each, got 'rows' twice"],
    ] as [unknown[], string][]
  ) {
    const error = await refusal(t.register(sql, "job", { figures }));
    assert.equal(error.code, "22023");
    assert.ok(error.message.startsWith("cannot register the job job: figures"), error.message);
    assert.ok(error.message.endsWith(what), error.message);
  }
  await t.register(sql, "job", { figures: ["rows", "_Sum-2"] });
  const [job] = await sql`select figures from scheduler_jobs`;
  assert.deepEqual(job!.figures, ["rows", "_Sum-2"]);
});

t.ledgerTest(
  "days are pruned after two years, a bounded number at once; hours after 50 days",
  async ({ sql }) => {
    await t.register(sql, "job");
    await sql`
    insert into scheduler.job_days (job_name, day, hour_runs, hour_ms)
    select 'job', date '2026-03-02' - ago, '[3:3]={1}', '[3:3]={5}' from unnest('{1, 49, 50, 60, 80, 729, 730, 731, 800}'::int[]) as ago`;
    await sql`
    insert into scheduler.ledger_days select date '2026-03-02' - ago, 1, 1 from unnest('{1, 730, 731}'::int[]) as ago`;
    await t.pulse(sql, t.NOON);
    const hours =
      await sql`select date '2026-03-02' - day as ago from scheduler.job_days where hour_runs <> '{}' order by 1`;
    assert.deepEqual(hours.map(({ ago }) => ago), [1, 49, 729, 730, 731, 800]);
    const prune = (limit: number) =>
      t.value(sql, "scheduler.prune_old_rows('job_days', $1, $2)", [limit, t.NOON]);
    assert.deepEqual([await prune(1), await prune(1), await prune(1)], [1, 1, 0]);
    const left =
      await sql`select date '2026-03-02' - day as ago from scheduler.job_days order by 1 desc limit 1`;
    assert.equal(left[0]!.ago, 730);
    const sizes =
      await sql`select date '2026-03-02' - day as ago from scheduler.ledger_days order by 1`;
    assert.deepEqual(sizes.map(({ ago }) => ago), [0, 1, 730]);
  },
);
