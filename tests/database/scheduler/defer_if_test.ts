import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const at = (minutes: number) => t.after(minutes);

/** `public.rush` says what it is told here, and keeps what it was asked. */
async function rush(sql: Sql, answer: boolean): Promise<void> {
  await sql.unsafe(`
    create table if not exists public.asked (at timestamptz);
    create or replace function public.rush(timestamptz) returns boolean language sql as
    $$ insert into public.asked values ($1); select ${answer} $$`);
}

const asked = async (sql: Sql): Promise<Date[]> =>
  (await sql`select at from asked order by at`).map((row) => row.at);

async function deferred(sql: Sql, values: Record<string, unknown> = {}, dueAt = t.NOON) {
  await rush(sql, true);
  await t.register(sql, "job", { defer_if: "public.rush", ...values }, dueAt);
}

t.ledgerTest("while defer_if says true an occurrence waits, and says so", async ({ sql }) => {
  await deferred(sql);
  const id = await t.dispatch(sql, "job", at(0.1));
  const row = await t.run(sql, id);
  assert.deepEqual([row.status, row.run_after], ["queued", null]);
  assert.deepEqual(Object.keys(row.waiting).sort(), ["for", "name", "since", "until"]);
  assert.deepEqual(
    [row.waiting.for, row.waiting.name, new Date(row.waiting.since), new Date(row.waiting.until)],
    ["defer_if", "public.rush", at(0.1), at(15)],
  );
  assert.deepEqual(await t.requests(sql), []);
  assert.equal(
    await t.value(sql, "scheduler.explain('job', null, $1)", [at(1)]),
    "job has not run for 2026-03-02 12:00 UTC yet: attempt 1 of 3 waits until 12:15:00 at the latest, put off by public.rush.",
  );
  const facts = await t.value(sql, "scheduler.explain_json('job', null, $1)", [at(1)]);
  assert.equal(facts.waiting.for, "defer_if");
});

t.ledgerTest(
  "it is given the time at which it is asked, and each minute again",
  async ({ sql }) => {
    await deferred(sql, { schedule: "0 12 * * *" });
    await t.dispatch(sql, "job", at(0.1));
    for (const minutes of [1, 1.2, 1.4, 2.1]) await t.pulse(sql, at(minutes));
    assert.deepEqual(await asked(sql), [at(0.1), at(1), at(2.1)]);
  },
);

t.ledgerTest("as soon as it says false the run goes, once", async ({ sql }) => {
  await deferred(sql, { schedule: "0 12 * * *" });
  const id = await t.dispatch(sql, "job");
  await t.pulse(sql, at(1));
  await rush(sql, false);
  await t.pulse(sql, at(2));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
  const row = await t.run(sql, id);
  assert.deepEqual([row.dispatched_at, row.waiting], [at(2), null]);
  assert.equal((await t.requests(sql)).length, 1);
  await t.begin(sql, id!, at(2));
  await t.finish(sql, id!, "completed", at(3));
  await t.pulse(sql, at(4));
  assert.deepEqual(await t.summary(sql, "job"), ["completed cron 1 ok"]);
  await t.assertInvariants(sql);
});

t.ledgerTest("after defer_at_most_seconds it runs, whatever is said", async ({ sql }) => {
  await deferred(sql, { schedule: "0 12 * * *", defer_at_most_seconds: 150 });
  await t.dispatch(sql, "job");
  for (const minutes of [1, 2, 2.4]) {
    await t.pulse(sql, at(minutes));
    assert.deepEqual(await t.summary(sql, "job"), ["queued cron 1"], `${minutes}`);
  }
  // No minute has passed since it was asked: it has a time of its own.
  await t.pulse(sql, at(2.5));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
  assert.ok((await asked(sql)).every((moment) => moment < at(2.5)), "it is not asked any more");
});

t.ledgerTest(
  "a run that waits for another reason first is put off for what is left",
  async ({ sql }) => {
    await t.register(sql, "first", { schedule: "0 12 * * *", target: "job" });
    await deferred(sql, { schedule: "0 12 * * *", depends_on: ["first"] });
    const first = await t.start(sql, "first");
    await t.dispatch(sql, "job");
    assert.deepEqual(await asked(sql), [], "what waits for a dependency need not be asked for");
    assert.equal((await t.runs(sql, "job"))[0]!.waiting.for, "dependency");
    await t.begin(sql, first, at(1));
    await t.finish(sql, first, "completed", at(10));
    const [row] = await t.runs(sql, "job");
    assert.deepEqual([row!.waiting.for, new Date(row!.waiting.until)], ["defer_if", at(15)]);
    await t.pulse(sql, at(15));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
  },
);

t.ledgerTest("it is asked after pause and breaker, and before a group", async ({ sql }) => {
  await sql`select scheduler.register_group('g', parallel_limit => 1)`;
  await t.register(sql, "other", { group_name: "g", target: "job", timeout_seconds: 3600 });
  const other = await t.start(sql, "other");
  await t.begin(sql, other, at(0));
  await t.heartbeat(sql, other, at(10));
  await deferred(sql, {
    group_name: "g",
    breaker_failures: 1,
    schedule: null,
    overlap_policy: "allow",
  });
  const waitsFor = async () =>
    (await sql`select waiting ->> 'for' as what from scheduler_runs where job_name = 'job'`)[0]!
      .what;
  await sql`insert into scheduler_breakers values ('job', 1, ${at(0)})`;
  await t.value(sql, "scheduler.pause('job', 'why', 'Ada', null, $1)", [at(0)]);
  await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [at(0)]);
  assert.equal(await waitsFor(), "paused");
  await t.value(sql, "scheduler.resume('job', 'Ada', $1)", [at(1)]);
  await t.pulse(sql, at(1));
  assert.equal(await waitsFor(), "breaker");
  assert.deepEqual(await asked(sql), []);
  await sql`delete from scheduler_breakers`;
  await t.pulse(sql, at(3));
  assert.equal(await waitsFor(), "defer_if");
  await rush(sql, false);
  await t.pulse(sql, at(5));
  assert.equal(await waitsFor(), "group");
});

t.ledgerTest("what a person asks for is not put off", async ({ sql }) => {
  await deferred(sql, { max_attempts: 1, overlap_policy: "allow" });
  await t.value(sql, "scheduler.run_now('job', 'Ada', null, $1)", [at(0)]);
  await t.value(sql, "scheduler.begin_manual_run('job', null, null, '', $1)", [at(0.5)]);
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched manual 1", "running manual 1"]);
  const [first] = await t.runs(sql, "job");
  await t.begin(sql, first!.id, at(1));
  await t.finish(sql, first!.id, "failed", at(1));
  const again = await t.value(sql, "scheduler.retry_run($1, 'Ada', $2)", [first!.id, at(2)]);
  assert.equal((await t.run(sql, again)).status, "dispatched");
  assert.deepEqual(await asked(sql), []);
});

t.ledgerTest("a retry is put off as well, as long as its occurrence may be", async ({ sql }) => {
  await rush(sql, false);
  await t.register(sql, "job", {
    schedule: "0 12 * * *",
    defer_if: "public.rush",
    backoff_base_seconds: 1,
    backoff_cap_seconds: 1,
  });
  const id = await t.start(sql, "job");
  await t.begin(sql, id, at(1));
  await t.finish(sql, id, "failed", at(2));
  await rush(sql, true);
  await t.pulse(sql, at(3));
  const [, retry] = await t.runs(sql, "job");
  assert.deepEqual([retry!.status, retry!.waiting.for, new Date(retry!.waiting.until)], [
    "queued",
    "defer_if",
    at(15),
  ]);
  await t.pulse(sql, at(15));
  assert.deepEqual(await t.summary(sql, "job"), ["failed cron 1 job_error", "dispatched retry 2"]);
});

t.ledgerTest(
  "occurrences behind a run that is put off are skipped for overlap, and name it",
  async ({ sql }) => {
    await deferred(sql);
    const id = await t.dispatch(sql, "job");
    await t.dispatch(sql, "job", at(1));
    assert.deepEqual(await t.summary(sql, "job"), ["queued cron 1", "skipped cron 1"]);
    assert.equal(
      (await t.runs(sql, "job"))[1]!.skip_reason,
      `overlap: run ${id} was waiting: defer_if public.rush`,
    );
    await t.dispatch(sql, "job", at(15));
    assert.equal((await t.run(sql, id)).status, "dispatched", "the time of the first is over");
  },
);

t.ledgerTest("of runs that may overlap each goes when its own time is over", async ({ sql }) => {
  await deferred(sql, { overlap_policy: "allow", defer_at_most_seconds: 120, max_attempts: 1 });
  for (let minute = 0; minute < 6; minute++) await t.dispatch(sql, "job", at(minute));
  const [, second] = (await t.runs(sql, "job")).slice(-2);
  assert.deepEqual(new Date(second!.waiting.until), at(7));
  const late = (await t.runs(sql, "job")).map((row) =>
    row.dispatched_at && (row.dispatched_at - row.scheduled_for) / 60_000
  );
  assert.deepEqual(late, [2, 2, 2, 2, null, null]);
});

t.ledgerTest(
  "a younger run that goes first does not hold up one whose time is over",
  async ({ sql }) => {
    await deferred(sql, {
      schedule: null,
      overlap_policy: "allow",
      parallel_limit: 1,
      defer_at_most_seconds: 120,
    });
    const enqueue = (priority: number, now: Date) =>
      t.value(sql, "scheduler.enqueue_runs('job', $1::jsonb, null, $2)", [[{ priority }], now]);
    await enqueue(-10, at(0));
    await enqueue(10, at(1));
    await t.pulse(sql, at(2));
    const sent = async () =>
      (await sql`select priority from scheduler_runs where status <> 'queued' order by dispatched_at, priority desc`)
        .map((row) => row.priority);
    assert.deepEqual(await sent(), [10], "priority still counts");
    const [first] = await sql`select id from scheduler_runs where priority = 10`;
    await t.begin(sql, first!.id, at(2));
    await t.finish(sql, first!.id, "completed", at(2.5));
    assert.deepEqual(await sent(), [10, -10]);
  },
);

t.ledgerTest("back-filled runs are put off when their turn has come", async ({ sql }) => {
  await rush(sql, true);
  await t.register(
    sql,
    "job",
    { schedule: "0 * * * *", defer_if: "public.rush", defer_at_most_seconds: 600 },
    at(60),
  );
  await sql`
    select scheduler.backfill('job', ${at(-180)}, ${
    at(1)
  }, 'why', 'Ada', 'all', p_preview => false, p_now => ${at(1)})`;
  const states = async () => (await t.runs(sql, "job")).map((row) => row.status);
  assert.ok((await states()).length > 2);
  await t.pulse(sql, at(10.9));
  assert.ok((await states()).every((status) => status === "queued"));
  await t.pulse(sql, at(11));
  assert.equal((await states()).filter((status) => status === "dispatched").length, 1);
});

t.ledgerTest(
  "one run makes up for what was missed, and is put off like others",
  async ({ sql }) => {
    await deferred(sql, { schedule: "*/10 * * * *", misfire_grace_seconds: 60 }, at(-60));
    await t.pulse(sql, at(5));
    const rows = await t.runs(sql, "job");
    assert.deepEqual(rows.map((row) => row.status), [
      "missed",
      "missed",
      "missed",
      "missed",
      "missed",
      "missed",
      "queued",
    ]);
    await t.pulse(sql, at(16));
    assert.deepEqual(
      (await t.runs(sql, "job")).filter((row) => row.status === "dispatched").length,
      1,
    );
  },
);

t.ledgerTest("what depends on a run that is put off waits for it", async ({ sql }) => {
  await deferred(sql, { schedule: "0 12 * * *" });
  await t.register(sql, "after", { schedule: "0 12 * * *", depends_on: ["job"], target: "job" });
  await t.register(sql, "chained", { schedule: null, depends_on: ["job"], target: "job" });
  await t.dispatch(sql, "job");
  await t.dispatch(sql, "after");
  await t.pulse(sql, at(1));
  assert.deepEqual(await t.summary(sql, "after"), ["queued cron 1"]);
  await t.pulse(sql, at(15));
  const [run] = await t.runs(sql, "job");
  await t.begin(sql, run!.id, at(15));
  await t.finish(sql, run!.id, "completed", at(16));
  assert.deepEqual(await t.summary(sql, "after"), ["dispatched cron 1"]);
  assert.deepEqual(await t.summary(sql, "chained"), ["dispatched dependency 1"]);
});

for (
  const [what, body, reason] of [
    ["raises", "begin raise exception 'no such tenant'; end", /failed: no such tenant$/],
    [
      "is gone",
      null,
      /its defer_if public\.rush is no function \(timestamptz\) returns boolean any more$/,
    ],
    [
      "takes too long",
      "begin perform pg_sleep(60); return true; end",
      /canceling statement due to statement timeout$/,
    ],
  ] as const
) {
  t.ledgerTest(
    `a defer_if that ${what} puts nothing off, and that is said once an hour`,
    async (db) => {
      const sql = db.connect("postgres", { connection: { statement_timeout: 2_000 } });
      await deferred(db.sql, { overlap_policy: "allow" });
      if (body === null) await db.sql`drop function public.rush`;
      else {
        await db.sql.unsafe(
          `create or replace function public.rush(timestamptz) returns boolean language plpgsql as $$ ${body} $$`,
        );
      }
      for (const minute of what === "takes too long" ? [0] : [0, 1, 59, 61]) {
        const id = await t.dispatch(sql, "job", at(minute));
        assert.equal((await t.run(db.sql, id)).status, "dispatched");
      }
      const lines = await db.sql`
      select occurred_at, severity, message from scheduler_activity where source = 'job' and severity = 'warning'
        and message not like 'missed%' order by id`;
      assert.deepEqual(
        lines.map((line) => line.occurred_at),
        what === "takes too long" ? [at(0)] : [at(0), at(61)],
      );
      assert.match(lines[0]!.message, reason);
      assert.match(
        lines[0]!.message,
        /^nothing of it is put off: cannot ask whether job is to wait: |^nothing of it is put off: canceling/,
      );
    },
  );
}

t.ledgerTest(
  "all occurrences of a dependency that come while a run is put off say so",
  async ({ sql }) => {
    await t.register(sql, "first", { overlap_policy: "allow", target: "job" });
    await deferred(sql, { schedule: null, depends_on: ["first"], overlap_policy: "allow" });
    for (const minute of [0, 1, 2]) {
      const run = await t.start(sql, "first", at(minute));
      await t.begin(sql, run, at(minute));
      await t.finish(sql, run, "completed", at(minute));
    }
    const waits = (await t.runs(sql, "job")).map((row) => row.waiting.for);
    assert.deepEqual(waits, ["defer_if", "defer_if", "defer_if"]);
  },
);

/** Until when each run of the job that waits is put off, in minutes after its own time. */
const waitsFor = async (sql: Sql): Promise<number[]> =>
  (await t.runs(sql, "job")).filter((row) => row.waiting?.for === "defer_if").map((row) =>
    (Date.parse(row.waiting.until) - row.scheduled_for) / 60_000
  );

t.ledgerTest("a run that joins others that are put off says its own time", async ({ sql }) => {
  await t.register(sql, "first", { overlap_policy: "allow", target: "job" });
  await deferred(sql, { schedule: null, depends_on: ["first"], overlap_policy: "allow" });
  for (const minute of [0, 5]) {
    const run = await t.start(sql, "first", at(minute));
    await t.begin(sql, run, at(minute));
    await t.finish(sql, run, "completed", at(minute));
    await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [at(minute + 1)]);
  }
  // Not before 12:08, and put off as from the time at which it was enqueued.
  await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', $1, $2)", [at(8), at(7)]);
  await t.pulse(sql, at(9));
  assert.deepEqual((await waitsFor(sql)).slice(-5), [15, 15, 15, 15, 15]);
  // The time of the oldest is over; the others wait on.
  await t.pulse(sql, at(15));
  const sent = (await t.runs(sql, "job")).filter((row) => row.status === "dispatched");
  assert.deepEqual(sent.map((row) => row.scheduled_for), [at(0)]);
});

t.ledgerTest(
  "a live run that joins a back-filled one is put off from its own time on",
  async ({ sql }) => {
    await deferred(sql, { schedule: "0 * * * *", overlap_policy: "allow" }, at(60));
    await sql`
    select scheduler.backfill('job', ${at(-180)}, ${
      at(1)
    }, 'why', 'Ada', 'all', p_preview => false, p_now => ${at(1)})`;
    await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [at(10)]);
    const until = (await t.runs(sql, "job")).filter((row) => row.waiting?.for === "defer_if")
      .map((row) => [row.trigger, row.waiting.until]);
    assert.deepEqual(
      until.filter(([trigger]) => trigger === "enqueued").map(([, moment]) => new Date(moment)),
      [at(25)],
    );
    assert.ok(
      until.filter(([trigger]) => trigger === "backfill").every(([, moment]) =>
        new Date(moment) >= at(16)
      ),
    );
  },
);

t.ledgerTest(
  "each run that joined goes with the first pulse after its own time",
  async ({ sql }) => {
    await deferred(sql, { schedule: null, overlap_policy: "allow", defer_at_most_seconds: 120 });
    for (const minute of [0, 0.2, 0.4]) {
      await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [at(minute)]);
    }
    // It is asked at 12:01:54, and has no other reason to be looked at before 12:02:54.
    for (const minute of [1.9, 2, 2.1, 2.2, 2.3, 2.4]) await t.pulse(sql, at(minute));
    assert.deepEqual(
      (await t.runs(sql, "job")).map((row) => (row.dispatched_at - row.scheduled_for) / 60_000),
      [2, 2, 2],
    );
  },
);

t.ledgerTest(
  "runs that are caught up together are put off, each until its own time",
  async ({ sql }) => {
    await deferred(sql, {
      overlap_policy: "allow",
      misfire_policy: "all",
      misfire_cap: 3,
      misfire_grace_seconds: 0,
      defer_at_most_seconds: 600,
    });
    await t.pulse(sql, at(5));
    const waits = (await t.runs(sql, "job")).filter((row) => row.status === "queued");
    assert.ok(waits.length >= 4);
    assert.deepEqual(
      waits.map((row) => [row.waiting?.for, new Date(row.waiting?.until)]),
      waits.map((row) => ["defer_if", t.after(10, row.scheduled_for)]),
    );
  },
);

t.ledgerTest("what defer_if writes stays, and is undone when it raises", async ({ sql }) => {
  await deferred(sql, { schedule: "0 12 * * *" });
  await t.dispatch(sql, "job");
  assert.deepEqual(await asked(sql), [at(0)]);
  await sql.unsafe(`
    create or replace function public.rush(timestamptz) returns boolean language plpgsql as $$
    begin insert into public.asked values ($1); perform 1 / 0; return true; end $$`);
  await t.pulse(sql, at(1));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
  assert.deepEqual(await asked(sql), [at(0)]);
});

t.ledgerTest("null counts as false", async ({ sql }) => {
  await deferred(sql);
  await sql.unsafe(
    "create or replace function public.rush(timestamptz) returns boolean language sql as 'select null::boolean'",
  );
  assert.equal((await t.run(sql, await t.dispatch(sql, "job"))).status, "dispatched");
});

t.ledgerTest(
  "a clock that is set back does not put a run off for longer than that",
  async ({ sql }) => {
    await deferred(sql, { schedule: "0 12 * * *", defer_at_most_seconds: 60 });
    await t.dispatch(sql, "job");
    await sql`select scheduler.wake_jobs('{job}', 'epoch')`;
    await t.pulse(sql, at(-600));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
  },
);

t.ledgerTest(
  "defer_if is checked as run_if is, and kept as the catalogue names it",
  async ({ sql }) => {
    await deferred(sql, { defer_if: "PUBLIC.Rush(timestamptz)" });
    assert.equal((await sql`select defer_if from scheduler_jobs`)[0]!.defer_if, "public.rush");
    for (const wrong of ["public.nothing", "rush", "public.rush()", "", "nonsense; drop table x"]) {
      const error = await refusal(t.register(sql, "job", { defer_if: wrong }));
      assert.deepEqual([error.code, error.message], [
        "22023",
        `cannot register the job job: defer_if must name a function (timestamptz) returns boolean, with its schema, got '${wrong}'`,
      ]);
    }
    for (
      const [values, message] of [
        [
          { schedule: "@continuous" },
          /schedule => '@continuous' and defer_if contradict each other: one run is always/,
        ],
        [
          { defer_if: null, defer_at_most_seconds: 60 },
          /defer_at_most_seconds and defer_if contradict each other: nothing is put off$/,
        ],
      ] as [Record<string, unknown>, RegExp][]
    ) {
      const error = await refusal(t.register(sql, "job", { defer_if: "public.rush", ...values }));
      assert.equal(error.code, "22023");
      assert.match(error.message, message);
    }
  },
);

t.ledgerTest("next_runs says what may put an occurrence off", async ({ sql }) => {
  await deferred(sql, { schedule: "0 12 * * *" });
  const [next] = await sql`select note from scheduler.next_runs('job', 1, ${at(-1)})`;
  assert.equal(
    next!.note,
    "public.rush may put it off, until 2026-03-02 12:15:00 UTC at the latest",
  );
});

t.ledgerTest(
  "a run that is put off is neither late nor stuck until its time is over",
  async ({ sql }) => {
    await deferred(sql, {
      schedule: "0 12 * * *",
      defer_at_most_seconds: 7200,
      timeout_seconds: 1,
    });
    await t.dispatch(sql, "job");
    const seen = async (minutes: number) => ({
      state: (await sql`select state from scheduler.all_job_states(${at(minutes)})`)[0]!.state,
      waits: await t.value(
        sql,
        "(select (scheduler.facts_of(jobs, '{}', $1)).waiting_seconds from scheduler_jobs as jobs)",
        [at(minutes)],
      ),
      metric:
        (await t.value(sql, "scheduler.waiting_metrics($1)", [at(minutes)])).series[0].values[0],
    });
    assert.deepEqual(await seen(90), { state: "waiting", waits: null, metric: 0 });
    assert.equal((await seen(121)).metric, 7260);
    assert.equal(Number((await seen(121)).waits), 7260);
    const status = await t.value(sql, "scheduler.api_status(null, $1)", [at(90)]);
    assert.equal(status.jobs[0].waits_for, "defer_if");
    // stuck_runs goes by the clock of the database.
    await sql`
    update scheduler_runs set created_at = now() - interval '1 hour',
      waiting = waiting || jsonb_build_object('until', now() + interval '1 hour')`;
    const stuck = () => t.value(sql, "(scheduler.stuck_runs()).runs::integer");
    assert.equal(await stuck(), 0);
    await sql`update scheduler_runs set waiting = waiting || jsonb_build_object('until', now() - interval '1 minute')`;
    assert.equal(await stuck(), 1);
  },
);

t.ledgerTest("an outside clock is told that the run is put off", async ({ sql }) => {
  await deferred(sql, { schedule: "0 12 * * *" });
  const told = await t.value(sql, "scheduler.begin_due_run('job', null, '', $1)", [at(0.1)]);
  assert.deepEqual([told.begun, told.reason, told.status], [false, "already", "queued"]);
  assert.match(told.message, /put off by public\.rush/);
});

t.ledgerTest(
  "thirty dispatches and pulses at once ask and send without a second row",
  async (db) => {
    await deferred(db.sql, { schedule: "0 12 * * *" });
    const connections = Array.from({ length: 15 }, () => t.impatient(db));
    const all = (now: Date) =>
      Promise.all(connections.flatMap((sql) => [t.dispatch(sql, "job", now), t.pulse(sql, now)]));
    await all(t.NOON);
    assert.deepEqual(await t.summary(db.sql, "job"), ["queued cron 1"]);
    await rush(db.sql, false);
    await all(at(1));
    await all(at(2));
    assert.deepEqual(await t.summary(db.sql, "job"), ["dispatched cron 1"]);
    assert.equal((await t.requests(db.sql)).length, 1);
  },
);

t.ledgerTest("a pulse that is killed while it asks leaves the run to the next one", async (db) => {
  await deferred(db.sql, { schedule: "0 12 * * *" });
  await t.dispatch(db.sql, "job");
  const sql = db.connect();
  await rush(db.sql, false);
  await sql`begin`;
  await t.pulse(sql, at(1));
  const [backend] = await sql`select pg_backend_pid() as pid`;
  await db.admin`select pg_terminate_backend(${backend!.pid}, 5000)`;
  assert.deepEqual(await t.summary(db.sql, "job"), ["queued cron 1"]);
  await t.pulse(db.sql, at(2));
  assert.deepEqual(await t.summary(db.sql, "job"), ["dispatched cron 1"]);
});

t.ledgerTest(
  "of 20,000 runs that wait only the first is written when its turn is put off",
  async ({ sql }) => {
    await rush(sql, false);
    await t.register(sql, "job", {
      schedule: null,
      overlap_policy: "allow",
      parallel_limit: 1,
      defer_if: "public.rush",
    });
    await sql`
    select scheduler.enqueue_runs('job', (select jsonb_agg('{}'::jsonb) from generate_series(1, 20000)), null, ${
      at(0)
    })`;
    const [first] = await sql`select id from scheduler_runs where status = 'dispatched'`;
    await sql`vacuum (analyze) scheduler_runs`;
    await rush(sql, true);
    const written = async () =>
      (await sql`select count(*)::int as rows from scheduler_runs where waiting ->> 'for' = 'defer_if'`)[
        0
      ]!.rows;
    await t.begin(sql, first!.id, at(1));
    await t.finish(sql, first!.id, "completed", at(1));
    assert.equal(await written(), 1);
    await t.pulse(sql, at(2));
    assert.equal(await written(), 1);
    assert.equal((await asked(sql)).length, 1 + 2, "one question each time");
    // What is enqueued meanwhile waits for the same, and for the limit as soon as that holds it back.
    await t.value(sql, "scheduler.enqueue_runs('job', '[{}, {}]', null, $1)", [at(2)]);
    assert.equal(await written(), 3);
    await rush(sql, false);
    await t.pulse(sql, at(3));
    assert.equal(await written(), 0);
  },
);
