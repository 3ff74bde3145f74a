import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { cases } from "../../support/cases.ts";
import { quietRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const at = (minutes: number) => t.after(minutes);

/** After two runs that found nothing it is asked less often, at least every hour. */
async function stretched(sql: Sql, values: Record<string, unknown> = {}, dueAt = t.NOON) {
  await t.register(sql, "job", {
    stretch_after: 2,
    stretch_at_most_seconds: 3600,
    max_attempts: 1,
    ...values,
  }, dueAt);
}

type Outcome = "idle" | "found" | "failed";

async function end(sql: Sql, id: string, outcome: Outcome, now: Date): Promise<void> {
  await t.begin(sql, id, now);
  const told = outcome === "failed"
    ? "scheduler.finish_run($1, 'failed', null, 'it broke', p_now => $2)"
    : `scheduler.finish_run($1, 'completed', '{"idle": ${outcome === "idle"}}', p_now => $2)`;
  await t.value(sql, told, [id, now]);
}

/** The minutes from `from` to `to`, a dispatch each; those that ran, each ending with the outcome that `outcomeOf` gives. */
async function minutes(
  sql: Sql,
  from: number,
  to: number,
  outcomeOf: (minute: number) => Outcome = () => "idle",
): Promise<number[]> {
  const ran: number[] = [];
  for (let minute = from; minute <= to; minute++) {
    const id = await t.dispatch(sql, "job", at(minute));
    if (id === null) continue;
    ran.push(minute);
    await end(sql, id, outcomeOf(minute), at(minute));
  }
  return ran;
}

const stretch = async (sql: Sql): Promise<Row | undefined> =>
  (await sql`select * from scheduler.stretches where job_name = 'job'`)[0];

/** A run that a person or other work asks for, and how it ends. */
async function byHand(sql: Sql, outcome: Outcome, minute: number): Promise<void> {
  const id = await t.value(sql, "scheduler.run_now('job', 'Ada', null, $1)", [at(minute)]);
  await end(sql, id, outcome, at(minute));
}

async function enqueued(sql: Sql, outcome: Outcome, minute: number): Promise<void> {
  await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [at(minute)]);
  const [run] =
    await sql`select id from scheduler_runs where trigger = 'enqueued' and status = 'dispatched'`;
  await end(sql, run!.id, outcome, at(minute));
}

/** Of each run of an occurrence: its minute, and that at which its interval begins. */
const intervals = async (sql: Sql): Promise<[number, number][]> =>
  (await t.runs(sql, "job")).filter((row) =>
    !["manual", "enqueued", "backfill"].includes(row.trigger)
  )
    .map((row) =>
      [row.scheduled_for, row.interval_from].map((moment) =>
        (moment - t.NOON.getTime()) / 60_000
      ) as [number, number]
    );

t.ledgerTest(
  "a job that finds nothing is asked half as often with each run, up to the limit",
  async ({ sql }) => {
    await stretched(sql, { stretch_at_most_seconds: 10 * 60 });
    assert.deepEqual(await minutes(sql, 0, 50), [0, 1, 3, 7, 15, 25, 35, 45]);
    const rows = await t.runs(sql, "job");
    assert.equal(rows.length, 8, "what is left out has no row");
    assert.equal((await t.requests(sql)).length, 8);
  },
);

t.ledgerTest("as soon as it finds something it is asked as often as before", async ({ sql }) => {
  await stretched(sql);
  const ran = await minutes(sql, 0, 24, (minute) => minute === 7 ? "found" : "idle");
  assert.deepEqual(ran, [0, 1, 3, 7, 8, 9, 11, 15, 23]);
  assert.deepEqual((await stretch(sql))!.idle_in_row, 5);
});

t.ledgerTest("a run that fails did not find nothing", async ({ sql }) => {
  await stretched(sql);
  assert.deepEqual(
    await minutes(sql, 0, 12, (minute) => minute === 3 ? "failed" : "idle"),
    [0, 1, 3, 4, 5, 7, 11],
  );
});

t.ledgerTest(
  "a person's run that finds something ends the stretch, and one that finds nothing prolongs none",
  async ({ sql }) => {
    await stretched(sql);
    await minutes(sql, 0, 7);
    const before = await stretch(sql);
    await byHand(sql, "idle", 8.1);
    await byHand(sql, "failed", 8.2);
    assert.deepEqual(await stretch(sql), before);
    assert.equal(await t.dispatch(sql, "job", at(8.5)), null);
    await byHand(sql, "found", 8.6);
    assert.equal((await stretch(sql))!.idle_in_row, 0);
    assert.deepEqual(await minutes(sql, 9, 11), [9, 10]);
  },
);

for (const [who, run] of [["a person", byHand], ["other work", enqueued]] as const) {
  t.ledgerTest(
    `no time is lost from intervals when a run that ${who} asked for ends a stretch`,
    async ({ sql }) => {
      await stretched(sql, { overlap_policy: "allow" });
      await minutes(sql, 0, 8);
      await run(sql, "idle", 8.5);
      await minutes(sql, 9, 10);
      await run(sql, "found", 10.5);
      assert.deepEqual(await minutes(sql, 11, 13), [11, 12]);
      assert.deepEqual((await intervals(sql)).slice(3), [[7, 3], [11, 7], [12, 11]]);
    },
  );

  t.ledgerTest(
    `a run that ${who} asked for begins no interval of the schedule's own`,
    async ({ sql }) => {
      await stretched(sql, { overlap_policy: "allow" });
      await minutes(sql, 0, 8);
      await run(sql, "idle", 8.5);
      await minutes(sql, 9, 15);
      assert.deepEqual((await intervals(sql)).slice(3), [[7, 3], [15, 7]]);
    },
  );
}

t.ledgerTest(
  "where the occurrence after a stretch is skipped or missed, the run after that stands for its time",
  async ({ sql }) => {
    await stretched(sql, { misfire_grace_seconds: 300 });
    await minutes(sql, 0, 8);
    await t.value(sql, "scheduler.pause('job', 'why', 'Ada', null, $1)", [at(14.5)]);
    await minutes(sql, 15, 16);
    await t.value(sql, "scheduler.resume('job', 'Ada', $1)", [at(16.5)]);
    assert.deepEqual(await minutes(sql, 17, 18), [17]);
    assert.deepEqual((await intervals(sql)).at(-1), [17, 7]);
    // The next one is due at 12:33, and nobody looks before 12:34: the newest has the lock.
    await minutes(sql, 19, 32);
    await t.pulse(sql, at(34.5));
    const rows = (await t.runs(sql, "job")).slice(-2);
    assert.deepEqual(rows.map((row) => [row.scheduled_for, row.status]), [[at(33), "missed"], [
      at(34),
      "dispatched",
    ]]);
    assert.deepEqual(rows[1]!.interval_from, at(17));
  },
);

t.ledgerTest("a call by hand meanwhile takes none of that time", async ({ sql }) => {
  await stretched(sql);
  await minutes(sql, 0, 8);
  await t.value(sql, "scheduler.pause('job', 'why', 'Ada', null, $1)", [at(14.5)]);
  await minutes(sql, 15, 15);
  await t.value(sql, "scheduler.resume('job', 'Ada', $1)", [at(15.2)]);
  await byHand(sql, "found", 15.5);
  assert.deepEqual(await minutes(sql, 16, 16), [16]);
  assert.deepEqual((await intervals(sql)).at(-1), [16, 7]);
});

t.ledgerTest(
  "a back-fill leaves to the run after it what was left out, and gives a run the interval that it had",
  async ({ sql }) => {
    await stretched(sql);
    await minutes(sql, 0, 12, (minute) => minute === 7 ? "failed" : "idle");
    const plan = async (reprocess: string, preview: boolean) =>
      [
        ...await sql`
        select scheduled_for, becomes
        from scheduler.backfill('job', ${at(1)}, ${at(13)}, 'why', 'Ada', ${reprocess},
          p_preview => ${preview}, p_now => ${at(12.5)})`,
      ].map((row) => [(row.scheduled_for - t.NOON.getTime()) / 60_000, row.becomes]);
    const [over, stands] = ["left: it has completed", "left: another run stands for it"];
    assert.deepEqual(await plan("missed", true), [
      [1, over],
      [2, stands],
      [3, over],
      ...[4, 5, 6].map((minute) => [minute, stands]),
      [7, "left: it has failed"],
      [8, over],
      [9, over],
      [10, stands],
      [11, over],
      // The next run stands for it.
      [12, stands],
    ]);
    await plan("failed", false);
    const [back] =
      await sql`select scheduled_for, interval_from from scheduler_runs where trigger = 'backfill'`;
    assert.deepEqual([back!.scheduled_for, back!.interval_from], [at(7), at(3)]);
  },
);

t.ledgerTest("nor does a back-filled one", async ({ sql }) => {
  await stretched(sql);
  await minutes(sql, 0, 12);
  await sql`
    select scheduler.backfill('job', ${at(7)}, ${
    at(11)
  }, 'why', 'Ada', 'all', p_preview => false, p_now => ${at(12.1)})`;
  for (let run = 0; run < 4; run++) {
    const [back] =
      await sql`select id from scheduler_runs where trigger = 'backfill' and status = 'dispatched'`;
    await end(sql, back!.id, "found", at(12.2));
  }
  await minutes(sql, 13, 15);
  assert.deepEqual((await intervals(sql)).slice(-1), [[15, 7]]);
});

t.ledgerTest(
  "an occurrence that is due as the stretch ends and has no row yet runs",
  async ({ sql }) => {
    await stretched(sql);
    await minutes(sql, 0, 8);
    await byHand(sql, "found", 9.01);
    assert.deepEqual(await minutes(sql, 9, 9), [9]);
    assert.deepEqual((await intervals(sql)).slice(3), [[7, 3], [9, 7]]);
  },
);

t.ledgerTest(
  "what was left out in an outage is not missed because the stretch ends before the first pulse",
  async ({ sql }) => {
    await stretched(sql, { misfire_grace_seconds: 60 });
    await minutes(sql, 0, 7);
    await byHand(sql, "found", 12.5);
    await t.pulse(sql, at(12.6));
    assert.deepEqual((await intervals(sql)).slice(3), [[7, 3], [12, 7]]);
    assert.equal((await t.runs(sql, "job")).some((row) => row.status === "missed"), false);
  },
);

t.ledgerTest(
  "of runs beside each other an older one that ends last does not shorten the stretch",
  async ({ sql }) => {
    await stretched(sql, { overlap_policy: "allow", timeout_seconds: 3600 });
    const first = await t.start(sql, "job", at(0));
    await t.begin(sql, first, at(0));
    for (let minute = 1; minute <= 16; minute++) {
      await t.heartbeat(sql, first, at(minute));
      await minutes(sql, minute, minute);
    }
    const before = (await stretch(sql))!;
    assert.deepEqual([before.asked_for, before.asked_again_at], [at(16), at(32)]);
    await end(sql, first, "idle", at(17));
    const after = (await stretch(sql))!;
    assert.deepEqual([after.idle_in_row, after.asked_for, after.asked_again_at], [
      before.idle_in_row + 1,
      at(16),
      at(48),
    ]);
    await byHand(sql, "found", 20.5);
    assert.deepEqual(await minutes(sql, 21, 21), [21]);
    // Nobody looked at 12:17 to 12:20 before: the newest of them runs as well.
    assert.deepEqual((await intervals(sql)).slice(-2), [[20, 16], [21, 20]]);
  },
);

t.ledgerTest("so does an enqueued one, and a back-filled one says nothing", async ({ sql }) => {
  await stretched(sql, { overlap_policy: "allow" });
  await minutes(sql, 0, 7);
  await sql`
    select scheduler.backfill('job', ${at(0)}, ${
    at(1)
  }, 'why', 'Ada', 'all', p_preview => false, p_now => ${at(7.1)})`;
  const [back] = await sql`select id from scheduler_runs where trigger = 'backfill'`;
  await end(sql, back!.id, "found", at(7.2));
  assert.equal((await stretch(sql))!.idle_in_row, 4);
  await enqueued(sql, "found", 7.4);
  assert.equal((await stretch(sql))!.idle_in_row, 0);
});

t.ledgerTest("the run after a stretch stands for the time that was left out", async ({ sql }) => {
  await stretched(sql);
  await minutes(sql, 0, 8);
  assert.deepEqual(await intervals(sql), [[0, -1], [1, 0], [3, 1], [7, 3]]);
});

t.ledgerTest("explain, next_runs and status tell of what is left out", async ({ sql }) => {
  await stretched(sql);
  await minutes(sql, 0, 8);
  const explain = (minute: number) =>
    t.value(sql, "scheduler.explain('job', $1, $2)", [at(minute), at(8.5)]);
  assert.equal(
    await explain(8),
    "job did not run at 2026-03-02 12:08 UTC: it had found nothing several times in a row, the last time at " +
      "2026-03-02 12:07 UTC, and is asked less often until it finds something; it is asked again at 2026-03-02 12:15 UTC.",
  );
  assert.equal(
    await explain(5),
    "job did not run at 2026-03-02 12:05 UTC: it had found nothing several times in a row, the last time at " +
      "2026-03-02 12:03 UTC, and is asked less often until it finds something.",
  );
  assert.equal(
    await explain(9),
    "job is due at 2026-03-02 12:09 UTC, in 30 seconds, and is left out: the last 4 runs of it found nothing; " +
      "it is asked again at 2026-03-02 12:15 UTC.",
  );
  const notes = (await sql`select note from scheduler.next_runs('job', 8, ${at(8.5)})`).map((row) =>
    row.note
  );
  assert.deepEqual(notes.map((note) => note?.slice(0, 11) ?? null), [
    ...Array(6).fill("is left out"),
    null,
    null,
  ]);
  const status = (await t.value(sql, "scheduler.api_status(null, $1)", [at(8.5)])).jobs[0];
  assert.deepEqual([
    status.state,
    status.stretch.idle_in_row,
    new Date(status.stretch.asked_again_at),
  ], [
    "healthy",
    4,
    at(15),
  ]);
});

t.ledgerTest("explain says left out only after as many idle runs as it takes", async ({ sql }) => {
  await sql.unsafe(`
    create function public.wanted(timestamptz) returns boolean language sql as
    $$ select extract(minute from $1) not in (1, 5) $$`);
  await stretched(sql, { run_if: "public.wanted" });
  assert.deepEqual(await minutes(sql, 0, 8, (minute) => minute === 4 ? "found" : "idle"), [
    0,
    2,
    4,
    6,
    7,
  ]);
  const said = async (minute: number, now = 8.5) =>
    (await t.value(sql, "scheduler.explain('job', $1, $2)", [at(minute), at(now)]))
      .replace(/^job did not run at \S+ \S+ UTC: /, "");
  assert.equal(await said(1), "there was nothing to do, by its run_if public.wanted.");
  assert.match(
    await said(3),
    /^it had found nothing several times in a row, the last time at 2026-03-02 12:02 UTC,/,
  );
  assert.equal(await said(5), "there was nothing to do, by its run_if public.wanted.");
  assert.match(await said(8), /it is asked again at 2026-03-02 12:09 UTC\.$/);
  await byHand(sql, "found", 9.01);
  assert.match(await said(8, 9.1), /and is asked less often until it finds something\.$/);
  await t.register(sql, "once", { stretch_after: 1, stretch_at_most_seconds: 3600, target: "job" });
  await end(sql, await t.start(sql, "once"), "idle", at(0));
  await t.dispatch(sql, "once", at(1));
  assert.match(
    await t.value(sql, "scheduler.explain('once', $1, $1)", [at(1)]),
    /: it had found nothing before, at 2026-03-02 12:00 UTC, and is asked less often/,
  );
});

t.ledgerTest(
  "of more than 1,000 that are left out in an outage none is missed",
  async ({ sql }) => {
    await stretched(sql, {
      schedule: "2 seconds",
      stretch_after: 1,
      stretch_at_most_seconds: 86_400,
      misfire_grace_seconds: 60,
    });
    // After 12 idle runs the next one is due 8,192 s after the last.
    const id = await t.start(sql, "job");
    await sql`insert into scheduler.stretches values ('job', 11, ${t.NOON}, ${t.NOON})`;
    await end(sql, id, "idle", t.NOON);
    assert.deepEqual((await stretch(sql))!.asked_again_at, at(8192 / 60));
    await t.pulse(sql, at(100));
    const missed = async () =>
      (await sql`select coalesce(sum(occurrences), 0)::int as n from scheduler_runs where status = 'missed'`)[
        0
      ]!.n;
    assert.equal(await missed(), 0);
    assert.equal((await t.runs(sql, "job")).length, 1);
    // An outage from 12:00 to 15:00: what was due from 14:16:32 on is missed, and no more.
    await sql`update scheduler_jobs set next_run_at = ${at(2 / 60)}, previous_run_at = ${t.NOON}`;
    await t.pulse(sql, at(180));
    const before = (180 * 60 - 8192) / 2;
    assert.equal(await missed(), before);
    const [first] =
      await sql`select scheduled_for from scheduler_runs where status = 'missed' order by 1`;
    assert.deepEqual(first!.scheduled_for, at(8192 / 60));
  },
);

t.ledgerTest(
  "what is left out is neither missed nor overdue, also in an outage",
  async ({ sql }) => {
    await stretched(sql, { misfire_policy: "all", misfire_grace_seconds: 60 });
    await minutes(sql, 0, 7);
    await t.pulse(sql, at(14));
    assert.equal((await t.runs(sql, "job")).length, 4);
    const [counters] =
      await sql`select missed, skipped from scheduler.run_counters where job_name = 'job'`;
    assert.deepEqual([Number(counters!.missed), Number(counters!.skipped)], [0, 0]);
    assert.equal(
      (await sql`select state from scheduler.all_job_states(${at(14)})`)[0]!.state,
      "healthy",
    );
    // The machine was down from here on: of what was due then only the occurrences after the stretch are missed.
    await t.pulse(sql, at(20));
    const late = (await t.runs(sql, "job")).slice(4).map((row) =>
      (row.scheduled_for - t.NOON.getTime()) / 60_000
    );
    assert.equal(late[0], 15);
  },
);

t.ledgerTest("a pause is said only of what would have run", async ({ sql }) => {
  await stretched(sql);
  await minutes(sql, 0, 7);
  await t.value(sql, "scheduler.pause('job', 'why', 'Ada', null, $1)", [at(7.5)]);
  await minutes(sql, 8, 16);
  assert.deepEqual(
    (await t.runs(sql, "job")).slice(4).map((row) => [row.scheduled_for, row.skip_kind]),
    [[at(15), "paused"], [at(16), "paused"]],
  );
});

t.ledgerTest(
  "a dependency that is left out does not count, the occurrence before it does",
  async ({ sql }) => {
    await stretched(sql);
    await t.register(sql, "after", { depends_on: ["job"], target: "job" }, at(8));
    await minutes(sql, 0, 7);
    // The dispatch of one takes the other along: the dependent is sent as the occurrence of 12:08 is left out.
    await t.dispatch(sql, "after", at(8));
    assert.deepEqual(await t.summary(sql, "after"), ["dispatched cron 1"]);
    assert.equal((await t.runs(sql, "job")).length, 4);
  },
);

t.ledgerTest("run_if is not asked for what is left out", async ({ sql }) => {
  await sql.unsafe(`
    create table public.asked (at timestamptz);
    create function public.wanted(timestamptz) returns boolean language sql as
    $$ insert into public.asked values ($1); select true $$`);
  await stretched(sql, { run_if: "public.wanted" });
  assert.deepEqual(await minutes(sql, 0, 8), [0, 1, 3, 7]);
  assert.deepEqual((await sql`select at from asked`).map((row) => row.at), [0, 1, 3, 7].map(at));
});

t.ledgerTest("a clock that goes back does not leave out what it shows again", async ({ sql }) => {
  await stretched(sql, {}, at(525_600));
  await minutes(sql, 525_600, 525_607);
  assert.equal((await stretch(sql))!.idle_in_row, 4);
  await sql`update scheduler_jobs set next_run_at = ${at(0)}, previous_run_at = null`;
  assert.deepEqual(await minutes(sql, 0, 2, () => "found"), [0, 1, 2]);
});

t.ledgerTest(
  "other times or another stretch begin anew without loss of time, and the same values do not",
  async ({ sql }) => {
    // Registering goes by the clock of the database.
    const [{ now: before, next }] = await sql`
      select now() - interval '3 hours' as now, now() + interval '3 hours' as next` as unknown as [
      Record<string, Date>,
    ];
    const values = { stretch_after: 2, stretch_at_most_seconds: 86_400, misfire_policy: "all" };
    for (
      const [change, keeps] of [
        [{}, true],
        [{ stretch_after: 3 }, false],
        [{ stretch_at_most_seconds: 600 }, false],
        [{ schedule: "*/2 * * * *" }, false],
        [{ time_zone: "Asia/Kathmandu" }, false],
        [{ stretch_after: null, stretch_at_most_seconds: null }, false],
      ] as [Record<string, unknown>, boolean][]
    ) {
      await t.value(
        sql,
        "scheduler.register_job('job', '* * * * *', stretch_after => 2, stretch_at_most_seconds => 86400)",
      );
      await sql`
        insert into scheduler.stretches values ('job', 4, ${before!}, ${next!})
        on conflict (job_name) do update set idle_in_row = 4, asked_for = excluded.asked_for,
          asked_again_at = excluded.asked_again_at`;
      const given = { schedule: "* * * * *", ...values, ...change } as Record<string, unknown>;
      const names = Object.keys(given);
      await t.value(
        sql,
        `scheduler.register_job('job', ${
          names.map((name, place) => `${name} => $${place + 1}`).join(", ")
        })`,
        Object.values(given),
      );
      const [state] = await sql`
        select idle_in_row, scheduler.is_left_out(jobs, next_run_at) as left_out,
          scheduler.asked_from(jobs, next_run_at) as from
        from scheduler_jobs as jobs join scheduler.stretches on job_name = name`;
      assert.deepEqual(
        [state!.idle_in_row, state!.left_out, state!.from],
        [keeps ? 4 : 0, keeps, before],
        JSON.stringify(change),
      );
    }
  },
);

t.ledgerTest(
  "a stretch that is over is forgotten with the next run of an occurrence",
  async ({ sql }) => {
    await stretched(sql, { overlap_policy: "allow" });
    const found = async (from: number, to: number) => await minutes(sql, from, to, () => "found");
    await minutes(sql, 0, 8);
    await enqueued(sql, "found", 8.5);
    assert.notEqual(await stretch(sql), undefined, "12:09 is to stand for what was left out");
    await found(9, 9);
    assert.equal(await stretch(sql), undefined);
    assert.deepEqual(await minutes(sql, 10, 14), [10, 11, 13]);
    assert.deepEqual(await found(15, 17), [17]);
    // However many rows the ledger has lost since.
    await sql`delete from scheduler_runs`;
    assert.deepEqual(await found(18, 19), [18, 19]);
    assert.deepEqual(await intervals(sql), [[18, 17], [19, 18]]);
  },
);

t.ledgerTest("intervals of seconds and local times are stretched alike", async ({ sql }) => {
  for (
    const [schedule, zone, from, step, atMost, expected] of [
      ["30 seconds", "UTC", "2026-03-02T12:00:00Z", 1, 3600, null],
      ["30 seconds", "UTC", "2026-03-02T12:00:00Z", 4, 3600, "2026-03-02T12:02:00Z"],
      ["30 seconds", "UTC", "2026-03-02T12:00:00Z", 64, 100, "2026-03-02T12:01:30Z"],
      [
        "*/15 3-5 * * *",
        "America/New_York",
        "2026-03-02T10:15:00Z",
        4,
        3600,
        "2026-03-02T10:45:00Z",
      ],
      // The next one is tomorrow's first: none is left out.
      ["*/15 3-5 * * *", "America/New_York", "2026-03-02T10:45:00Z", 4, 3600, null],
      // Over the night in which clocks go forward: 24 hours are not a day.
      ["0 0 * * *", "America/New_York", "2026-03-07T05:00:00Z", 2, 86_400, "2026-03-08T05:00:00Z"],
      ["0 * * * *", "UTC", "2026-03-02T12:00:00Z", 2, 3600, "2026-03-02T13:00:00Z"],
      ["0 * * * *", "UTC", "2026-03-02T12:00:00Z", 2, 3599, null],
      ["0 * * * *", "Nowhere/At-all", "2026-03-02T12:00:00Z", 2, 7200, null],
    ] as const
  ) {
    const told = await t.value(
      sql,
      `scheduler.asked_again_at(jsonb_populate_record(null::scheduler_jobs, jsonb_build_object('schedule', $1::text,
        'time_zone', $2::text, 'stretch_at_most_seconds', $3::integer)), $4, $5)`,
      [schedule, zone, atMost, new Date(from), step],
    );
    assert.deepEqual(
      told,
      expected === null ? null : new Date(expected),
      `${schedule} ${step} ${atMost}`,
    );
  }
});

t.ledgerTest("which occurrence is next doubles from the bound on", async ({ sql }) => {
  const steps = await sql`
    select scheduler.stretch_step(idle, after) as step
    from (values (0, 1), (1, 1), (2, 1), (2, 3), (3, 3), (4, 3), (1000000, 1)) as cases (idle, after)`;
  assert.deepEqual(steps.map((row) => row.step), [1, 2, 4, 1, 2, 4, 131_072]);
});

t.ledgerTest("what contradicts a stretch is refused by both names", async ({ sql }) => {
  for (
    const [values, message] of [
      [
        { schedule: "@continuous" },
        /schedule => '@continuous' and stretch_after contradict each other: idle_seconds/,
      ],
      [
        { schedule: null },
        /schedule => null and stretch_after contradict each other: there is no occurrence/,
      ],
      [
        { target: "https://a.test/" },
        /stretch_after and receipt contradict each other: only a function's own/,
      ],
      [
        { stretch_at_most_seconds: null },
        /stretch_after and stretch_at_most_seconds contradict each other: each needs/,
      ],
      [
        { stretch_after: null },
        /stretch_after and stretch_at_most_seconds contradict each other: each needs/,
      ],
      [
        { schedule: "2000 seconds" },
        /stretch_at_most_seconds and schedule contradict each other: no occurrence would ever be left out$/,
      ],
      [{ stretch_after: 0 }, /stretch_after must be from 1 to 1000, got 0$/],
      [
        { stretch_at_most_seconds: 86_401 },
        /stretch_at_most_seconds must be from 1 to 86400, got 86401$/,
      ],
    ] as [Record<string, unknown>, RegExp][]
  ) {
    const error = await refusal(stretched(sql, values));
    assert.equal(error.code, "22023");
    assert.match(error.message, message);
  }
});

/** The words of the document: after so many idle runs in a row every second one, then every fourth, never longer apart. */
function model(
  outcomes: (minute: number) => Outcome,
  after: number,
  atMost: number,
  until: number,
): number[] {
  const ran: number[] = [];
  let idle = 0;
  let next = 0;
  for (let minute = 0; minute <= until; minute++) {
    if (minute < next) continue;
    ran.push(minute);
    idle = outcomes(minute) === "idle" ? idle + 1 : 0;
    const step = idle < after ? 1 : 2 ** (idle - after + 1);
    next = minute + Math.max(1, Math.min(step, atMost));
  }
  return ran;
}

t.ledgerTest("random results leave out what a model leaves out", async ({ sql }) => {
  const seen = { ran: 0, leftOut: 0 };
  for (let seed = 1; seed <= cases(20, 6); seed++) {
    const random = quietRandom(seed);
    const after = random.whole(1, 4);
    const atMost = random.whole(1, 20);
    const luck = random.pick([0.05, 0.2, 0.5]);
    const outcomes = Array.from(
      { length: 101 },
      (): Outcome => random.chance(luck) ? random.pick(["found", "found", "failed"]) : "idle",
    );
    await sql`delete from scheduler_runs`;
    await stretched(sql, { stretch_after: after, stretch_at_most_seconds: atMost * 60 });
    await sql`delete from scheduler.stretches`;
    const ran = await minutes(sql, 0, 100, (minute) => outcomes[minute]!);
    assert.deepEqual(ran, model((minute) => outcomes[minute]!, after, atMost, 100), `seed ${seed}`);
    seen.ran += ran.length;
    seen.leftOut += 101 - ran.length;
    // Each run stands for the time since the one before it.
    const gaps = (await t.runs(sql, "job")).slice(1).map((row) =>
      (row.scheduled_for - row.interval_from) / 60_000
    );
    assert.deepEqual(
      gaps,
      ran.slice(1).map((minute, place) => minute - ran[place]!),
      `seed ${seed}`,
    );
  }
  assert.ok(seen.ran > 100 && seen.leftOut > 50, JSON.stringify(seen));
});

t.ledgerTest(
  "whatever happens, an occurrence has a row or lies in the interval of the run after it",
  async ({ sql }) => {
    const seen = { rows: 0, covered: 0 };
    for (let seed = 1; seed <= cases(30, 8); seed++) {
      const random = quietRandom(seed);
      const values = {
        overlap_policy: random.pick(["skip", "allow"]),
        misfire_policy: random.pick(["once", "all", "skip"]),
        misfire_grace_seconds: 120,
        stretch_after: random.whole(1, 3),
        stretch_at_most_seconds: 60 * random.whole(2, 30),
      };
      const outcome = (): Outcome =>
        random.pick(["idle", "idle", "idle", "idle", "found", "failed"]);
      await sql`delete from scheduler_runs`;
      await sql`delete from scheduler.stretches`;
      await stretched(sql, values);
      const done: string[] = [];
      // As one ends the next one may be sent.
      const endAll = async (minute: number) => {
        for (let run = 0; run < 100; run++) {
          const [next] = await sql`
            select id from scheduler_runs where status = 'dispatched' order by scheduled_for limit 1`;
          if (next === undefined) return;
          await end(sql, next.id, outcome(), at(minute));
        }
      };
      for (let minute = 0; minute <= 90; minute++) {
        const deed = random.pick(
          [
            "",
            "",
            "",
            "",
            "outage",
            "by hand",
            "enqueued",
            "pause",
            "resume",
            "register",
            "without",
          ],
        );
        done.push(`${minute} ${deed}`);
        if (deed === "outage") minute += random.whole(1, 12);
        if (deed === "by hand") {
          await endAll(minute - 0.6);
          await byHand(sql, outcome(), minute - 0.5);
        }
        if (deed === "pause") {
          await t.value(sql, "scheduler.pause('job', 'why', 'Ada', null, $1)", [at(minute - 0.4)]);
        }
        if (deed === "resume") {
          await t.value(sql, "scheduler.resume('job', 'Ada', $1)", [at(minute - 0.4)]);
        }
        if (deed === "register" || deed === "without") {
          const [job] = await sql`select next_run_at from scheduler_jobs`;
          const anew = deed === "register"
            ? { stretch_after: random.whole(1, 3) }
            : { stretch_after: null, stretch_at_most_seconds: null };
          await stretched(sql, { ...values, ...anew }, job!.next_run_at);
        }
        if (deed === "enqueued") {
          await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [at(minute - 0.3)]);
        }
        await (random.chance(0.5) ? t.dispatch(sql, "job", at(minute)) : t.pulse(sql, at(minute)));
        // Some runs take longer than a minute.
        if (random.chance(0.7)) await endAll(minute + 0.05);
      }
      const rows = (await t.runs(sql, "job"))
        .filter((row) => !["manual", "enqueued"].includes(row.trigger))
        .map((row) => ({
          at: Math.round((row.scheduled_for - t.NOON.getTime()) / 60_000),
          from: Math.round((row.interval_from - t.NOON.getTime()) / 60_000),
          ran: !["skipped", "missed"].includes(row.status),
        }));
      const ran = rows.filter((row) => row.ran);
      const known = new Set(rows.map((row) => row.at));
      for (let minute = 0; minute < (ran.at(-1)?.at ?? 0); minute++) {
        if (known.has(minute)) continue;
        const next = ran.find((row) => row.at > minute)!;
        assert.ok(next.from < minute, `seed ${seed}: ${minute}, ${JSON.stringify(rows)}, ${done}`);
        seen.covered++;
      }
      seen.rows += rows.length;
    }
    assert.ok(seen.covered > 50 && seen.rows > 50, JSON.stringify(seen));
  },
);

t.ledgerTest("thirty dispatches of an occurrence that is left out leave nothing", async (db) => {
  await stretched(db.sql);
  await minutes(db.sql, 0, 7);
  const connections = Array.from({ length: 15 }, () => t.impatient(db));
  for (const minute of [8, 15]) {
    await Promise.all(
      connections.flatMap((sql) => [t.dispatch(sql, "job", at(minute)), t.pulse(sql, at(minute))]),
    );
  }
  assert.deepEqual((await t.runs(db.sql, "job")).slice(4).map((row) => row.scheduled_for), [
    at(15),
  ]);
});
