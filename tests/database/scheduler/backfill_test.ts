// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

const DAY = 24 * 60;

/** `scheduler.backfill` of the job over the days before noon; what it says of each occurrence, by its day of March. */
async function backfill(
  sql: Sql,
  values: Record<string, unknown> = {},
  days = 6,
): Promise<[number, string, string][]> {
  const rest = Object.keys(values).map((key, i) => `, ${key} => $${i + 4}`).join("");
  const rows = await sql.unsafe(
    `select * from scheduler.backfill('job', $1, $2, 'late data', 'Ada', p_now => $3${rest})`,
    [t.after(-DAY * days + 1), t.after(1), t.after(1), ...Object.values(values) as never[]],
  );
  return rows.map((row) => [row.scheduled_for.getUTCDate(), row.state, row.becomes]);
}

/** A daily job: missed on 25 February, failed on the 26th, skipped on the 27th, completed after that. */
async function week(sql: Sql): Promise<void> {
  await t.register(sql, "job", { schedule: "0 12 * * *", max_attempts: 1 }, t.after(1));
  await sql`update scheduler_jobs set next_run_at = ${t.after(DAY)}`;
  await sql`
    insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, completed_at, verdict,
      skip_kind, skip_reason)
    select 'job', 'job', status, 'cron', ${t.NOON}::timestamptz - days * interval '1 day', ${t.NOON}, verdict, kind, kind
    from (values (5, 'missed', 'missed', 'misfire_once'), (4, 'failed', 'job_error', null),
      (3, 'skipped', 'skipped', 'paused'), (2, 'completed', 'ok', null), (1, 'completed', 'ok', null),
      (0, 'completed', 'ok', null)) as days (days, status, verdict, kind)`;
}

t.ledgerTest(
  "the preview lists each occurrence and what would become of it, and changes nothing",
  async ({ sql }) => {
    await week(sql);
    assert.deepEqual(await backfill(sql), [
      [25, "missed", "would be queued"],
      [26, "failed", "left: it has failed"],
      [27, "skipped", "would be queued"],
      [28, "completed", "left: it has completed"],
      [1, "completed", "left: it has completed"],
      [2, "completed", "left: it has completed"],
    ]);
    assert.deepEqual((await backfill(sql, { p_reprocess: "failed" }))[1], [
      26,
      "failed",
      "would be queued",
    ]);
    assert.deepEqual(
      (await backfill(sql, { p_reprocess: "all", p_newest_first: true, p_at_most: 2 })).map((row) =>
        row[2]
      ).slice(0, 3),
      ["would be queued", "would be queued", "left: beyond at_most, which is 2"],
    );
    assert.equal((await t.runs(sql, "job")).length, 6);
    assert.deepEqual([...await sql`select from scheduler_audit where verb = 'backfill'`], []);
  },
);

t.ledgerTest(
  "they run one after the other with their own intervals, and are audited",
  async ({ sql }) => {
    await week(sql);
    await backfill(sql, { p_preview: false });
    const queued = await sql`
    select id, status, scheduled_for, interval_from, attempt from scheduler_runs
    where trigger = 'backfill' order by scheduled_for`;
    assert.deepEqual(
      queued.map((row) => [row.status, row.attempt, row.scheduled_for - row.interval_from]),
      [
        ["dispatched", 2, DAY * 60_000],
        ["queued", 2, DAY * 60_000],
      ],
    );
    assert.match(
      await t.value(sql, "scheduler.explain('job', $1, $2)", [t.after(-3 * DAY), t.after(1)]),
      /waits for the back-filled run before it to end/,
    );
    assert.deepEqual(
      await t.value(sql, "scheduler.waiting_metrics($1) -> 'series' -> 0 -> 'values'", [
        t.after(1),
      ]),
      [0],
      "an alert on what waits is about live runs",
    );
    await t.begin(sql, queued[0]!.id, t.after(2));
    await t.finish(sql, queued[0]!.id, "completed", t.after(3));
    assert.equal((await t.run(sql, queued[1]!.id)).status, "dispatched");
    const [audit] =
      await sql`select verb, subject, author, reason, after ->> 'queued' as queued from scheduler_audit
        where verb not like 'register%'`;
    assert.deepEqual(audit, {
      verb: "backfill",
      subject: "job",
      author: "Ada",
      reason: "late data",
      queued: "2",
    });
    assert.match(
      await t.value(sql, "scheduler.explain('job', $1, $2)", [t.after(-5 * DAY), t.after(4)]),
      /ran at 2026-02-25 12:00 UTC/,
    );
  },
);

t.ledgerTest(
  "a live occurrence waits for the back-filled run that is at work, and goes before the next",
  async ({ sql }) => {
    await week(sql);
    await sql`update scheduler_jobs set next_run_at = ${t.after(2)}, schedule = '2 12 * * *'`;
    await backfill(sql, { p_preview: false, p_reprocess: "all" });
    const [first] = await sql`select id from scheduler_runs where status = 'dispatched'`;
    await t.dispatch(sql, "job", t.after(2));
    const [live] =
      await sql`select id, status, waiting ->> 'for' as waits from scheduler_runs where scheduled_for = ${
        t.after(2)
      }`;
    assert.deepEqual([live!.status, live!.waits], ["queued", "lock"]);
    await t.begin(sql, first!.id, t.after(2));
    await t.finish(sql, first!.id, "failed", t.after(3));
    assert.equal((await t.run(sql, live!.id)).status, "dispatched");
  },
);

t.ledgerTest(
  "a gap is opened into the occurrences that are back-filled, and counted once",
  async ({ sql }) => {
    await t.register(sql, "job", { misfire_policy: "skip", overlap_policy: "allow" });
    await t.pulse(sql, t.after(5000));
    const [gap] =
      await sql`select scheduled_for, occurrences from scheduler_runs where occurrences > 1`;
    const counted = await t.value(
      sql,
      "(select missed from scheduler.run_counters where job_name = 'job')",
    );
    const sum = "(select sum(occurrences)::int from scheduler_runs where attempt = 1)";
    const before = await t.value(sql, sum);
    const rows = await sql`
    select * from scheduler.backfill('job', ${t.after(100)}, ${
      t.after(110)
    }, 'late', 'Ada', p_preview => false,
      p_at_most => 4, p_now => ${t.after(5000)})`;
    assert.deepEqual(rows.map((row) => [row.state, row.becomes]).slice(3, 5), [
      ["missed", "queued"],
      ["missed", "left: beyond at_most, which is 4"],
    ]);
    assert.deepEqual(
      (await sql`
      select scheduled_for, scheduled_until, occurrences from scheduler_runs
      where occurrences > 1 order by scheduled_for`).map((
        row,
      ) => [row.scheduled_for, row.scheduled_until]),
      [[gap!.scheduled_for, t.after(99)], [t.after(104), t.after(gap!.occurrences - 1)]],
    );
    assert.equal(
      await t.value(sql, sum),
      before,
      "each occurrence has its row, or is one of a gap",
    );
    assert.equal(
      await t.value(sql, "(select missed from scheduler.run_counters where job_name = 'job')"),
      counted,
    );
    assert.equal((await sql`select from scheduler_runs where trigger = 'backfill'`).length, 4);
  },
);

t.ledgerTest(
  "run_if and calendars leave occurrences as they are; a second back-fill queues nothing twice",
  async ({ sql, admin }) => {
    await admin.unsafe(`
    create function public.odd_days(p_at timestamptz) returns boolean language sql as $$
      select extract(day from p_at)::integer % 2 = 1 $$;
    grant execute on function public.odd_days(timestamptz) to postgres`);
    await sql`select scheduler.register_calendar('freeze')`;
    await sql`select scheduler.add_calendar_span('freeze', 'Release', 'Ada', '2026-02-25')`;
    await t.register(sql, "job", {
      schedule: "0 12 * * *",
      run_if: "public.odd_days",
      calendars: ["freeze"],
    }, t.after(DAY));
    await backfill(sql, { p_preview: false });
    assert.deepEqual(
      (await backfill(sql, { p_preview: false, p_reprocess: "all" })).map((row) => row[2]),
      [
        "left: calendar: Release (freeze)",
        "left: there was nothing to do, by its run_if",
        "left: an attempt of it waits or is under way",
        "left: there was nothing to do, by its run_if",
        "left: an attempt of it waits or is under way",
        "left: there was nothing to do, by its run_if",
      ],
    );
  },
);

t.ledgerTest("cancel_backfill cancels what waits of it, and nothing else", async ({ sql }) => {
  await week(sql);
  await backfill(sql, { p_preview: false, p_reprocess: "all" });
  assert.equal(
    await t.value(sql, "scheduler.cancel_backfill('job', 'wrong range', 'Ada', $1)", [t.after(2)]),
    "5 back-filled runs of job are cancelled; what is under way goes on",
  );
  const left = await sql`select status from scheduler_runs where completed_at is null`;
  assert.deepEqual(left.map((row) => row.status), ["dispatched"]);
  assert.equal(
    await t.value(sql, "scheduler.cancel_backfill('job', 'wrong range', 'Ada')"),
    "no back-filled run of job waits",
  );
});

t.ledgerTest("what cannot be back-filled is refused with the reason", async ({ sql }) => {
  await week(sql);
  await sql`select scheduler.register_job('asked', null)`;
  await sql`select scheduler.register_job('service', '@continuous')`;
  const refused = async (call: string, message: RegExp) =>
    await assert.rejects(sql.unsafe(`select ${call}`), message);
  await refused(
    "scheduler.backfill('asked', '2026-01-01', '2026-02-01', 'why', 'Ada')",
    /it has no schedule/,
  );
  await refused(
    "scheduler.backfill('service', '2026-01-01', '2026-02-01', 'why', 'Ada')",
    /it is continuous/,
  );
  await refused(
    "scheduler.backfill('job', '2026-02-01', '2026-01-01', 'why', 'Ada')",
    /: from must be a moment before to, and both finite/,
  );
  await refused(
    "scheduler.backfill('job', '-infinity', '2026-01-01', 'why', 'Ada')",
    /: from must be a moment before to, and both finite/,
  );
  await refused(
    "scheduler.backfill('job', '2026-01-01', '2026-02-01', ' ', 'Ada')",
    /reason and author must be given/,
  );
  await refused(
    "scheduler.backfill('job', '2026-01-01', '2026-02-01', 'why', 'Ada', 'some')",
    /: reprocess must be 'missed', 'failed' or 'all', got 'some'$/,
  );
  await refused(
    "scheduler.backfill('job', '2026-01-01', '2026-02-01', 'why', 'Ada', p_at_most => 0)",
    /: at_most must be from 1 to 1000, got 0$/,
  );
  await refused(
    "scheduler.backfill('job', '1950-01-01', '2026-02-01', 'why', 'Ada')",
    /at most 10,000 can be looked at/,
  );
  await refused(
    "scheduler.backfill('moon', '2026-01-01', '2026-02-01', 'why', 'Ada')",
    /there is no job named 'moon'/,
  );
});

t.ledgerTest("a disabled job is refused, as what waits of it is cancelled", async ({ sql }) => {
  await t.register(sql, "job", { schedule: "0 * * * *", enabled: false });
  await assert.rejects(
    sql`select * from scheduler.backfill('job', ${
      t.after(-300)
    }, ${t.NOON}, 'why', 'Ada', p_now => ${t.NOON})`,
    { code: "22023", message: /^cannot back-fill job: it is disabled/ },
  );
});

t.ledgerTest("what waits for a back-filled run decides when that is cancelled", async ({ sql }) => {
  await t.register(
    sql,
    "root",
    { schedule: "0 10,11 * * *", max_attempts: 1, target: "job" },
    t.after(-120),
  );
  for (const minute of [-120, -60]) {
    const id = (await t.dispatch(sql, "root", t.after(minute)))!;
    await t.begin(sql, id, t.after(minute));
    await t.finish(sql, id, "failed", t.after(minute));
  }
  await sql`
    select * from scheduler.backfill('root', ${t.after(-130)}, ${
    t.after(-1)
  }, 'why', 'Ada', 'failed',
      p_preview => false, p_now => ${t.after(-1)})`;
  await t.register(sql, "leaf", { schedule: "0 12 * * *", depends_on: ["root"] });
  await t.pulse(sql, t.NOON);
  assert.deepEqual(await t.summary(sql, "leaf"), ["queued cron 1"]);
  await sql`select scheduler.cancel_backfill('root', 'why', 'Ada', ${t.after(0.1)})`;
  const [leaf] = await t.runs(sql, "leaf");
  assert.equal(leaf!.skip_reason, "dependency: root was cancelled");
});
