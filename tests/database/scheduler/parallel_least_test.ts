import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { cases } from "../../support/cases.ts";
import { quietRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const at = (minutes: number) => t.after(minutes);

interface State {
  in_force: number;
  stale: number;
  ended: number;
  failed: number;
  duration_ms: number;
  usual_ms: number | null;
}
type Sign = "done" | "failed" | "strained" | null;

interface End {
  sign: Sign;
  ms: number;
  /** 1: runs wait for the limit; 0: for something else; -1: none waits. */
  demand: number;
  underWay: number;
}

/** Additive increase, multiplicative decrease, in the document's words. */
function modelAfter(state: State, least: number, most: number, end: End): State {
  const inForce = Math.min(most, Math.max(least, state.in_force));
  if (state.stale > 0) return { ...state, in_force: inForce, stale: state.stale - 1 };
  if (end.sign === null) return { ...state, in_force: inForce };
  const anew = { ended: 0, failed: 0, duration_ms: 0 };
  const lowered = {
    in_force: Math.max(least, Math.floor(inForce / 2)),
    stale: end.underWay,
    ...anew,
  };
  if (end.sign === "strained") return { ...state, ...lowered };
  const round = {
    ended: state.ended + 1,
    failed: state.failed + (end.sign === "failed" ? 1 : 0),
    duration_ms: state.duration_ms + end.ms,
  };
  if (round.ended < inForce) return { ...state, ...round, in_force: inForce };
  const mean = round.duration_ms / round.ended;
  const usual = state.usual_ms;
  const next = Math.round(1000 * (usual === null ? mean : usual + (mean - usual) / 8)) / 1000;
  const isSlow = usual !== null && mean > Math.max(2 * usual, usual + 100);
  if (round.failed * 2 > round.ended || isSlow) return { ...lowered, usual_ms: next };
  return {
    ...anew,
    stale: 0,
    in_force: Math.min(most, Math.max(least, inForce + end.demand)),
    usual_ms: next,
  };
}

/** What the database makes of a list of states and ends. */
async function after(
  sql: Sql,
  steps: { state: State; least: number; most: number; end: End }[],
): Promise<State[]> {
  const rows = await sql.unsafe(
    `select next.in_force, next.stale, next.ended, next.failed, next.duration_ms, next.usual_ms
     from jsonb_array_elements($1::jsonb) with ordinality as steps (step, place),
       lateral scheduler.parallel_after(
         jsonb_populate_record(null::scheduler.parallel_states, step -> 'state'), (step ->> 'least')::integer,
         (step ->> 'most')::integer, step -> 'end' ->> 'sign', (step -> 'end' ->> 'ms')::bigint,
         (step -> 'end' ->> 'demand')::integer, (step -> 'end' ->> 'underWay')::integer) as next
     order by place`,
    [steps as never],
  );
  return rows.map((row) => ({
    in_force: row.in_force,
    stale: row.stale,
    ended: row.ended,
    failed: row.failed,
    duration_ms: Number(row.duration_ms),
    usual_ms: row.usual_ms === null ? null : Number(row.usual_ms),
  }));
}

const fresh = (inForce: number, more: Partial<State> = {}): State => ({
  in_force: inForce,
  stale: 0,
  ended: 0,
  failed: 0,
  duration_ms: 0,
  usual_ms: null,
  ...more,
});
const done = (more: Partial<End> = {}): End => ({
  sign: "done",
  ms: 500,
  demand: 1,
  underWay: 3,
  ...more,
});

/** What it is, of 2 to 10; the state before; the end; the state after. */
const table: [string, State, End, Partial<State>][] = [
  [
    "a round in which all went well, and work waits",
    fresh(4, { ended: 3, duration_ms: 1500 }),
    done(),
    {
      in_force: 5,
      ended: 0,
      usual_ms: 500,
    },
  ],
  ["a round that is not over", fresh(4, { ended: 2, duration_ms: 1000 }), done(), {
    in_force: 4,
    ended: 3,
  }],
  ["no work waits", fresh(4, { ended: 3 }), done({ demand: -1 }), { in_force: 3 }],
  ["work waits for something else", fresh(4, { ended: 3 }), done({ demand: 0 }), {
    in_force: 4,
    ended: 0,
  }],
  ["never more than the most", fresh(10, { ended: 9 }), done(), { in_force: 10 }],
  ["never less than the least", fresh(2, { ended: 1 }), done({ demand: -1 }), { in_force: 2 }],
  ["a refusal halves it at once", fresh(9, { ended: 1 }), done({ sign: "strained" }), {
    in_force: 4,
    stale: 3,
    ended: 0,
  }],
  ["down to the least", fresh(3), done({ sign: "strained" }), { in_force: 2 }],
  ["what was sent before that says nothing", fresh(4, { stale: 2 }), done({ sign: "strained" }), {
    in_force: 4,
    stale: 1,
  }],
  ["one failure in a round is one job's own", fresh(4, { ended: 3 }), done({ sign: "failed" }), {
    in_force: 5,
  }],
  ["half of a round as well", fresh(4, { ended: 3, failed: 1 }), done({ sign: "failed" }), {
    in_force: 5,
  }],
  [
    "more than half of a round is not",
    fresh(4, { ended: 3, failed: 2 }),
    done({ sign: "failed" }),
    {
      in_force: 2,
      failed: 0,
    },
  ],
  [
    "twice as slow as usual",
    fresh(8, { ended: 7, duration_ms: 7 * 1100, usual_ms: 500 }),
    done({ ms: 1100 }),
    {
      in_force: 4,
      usual_ms: 575,
    },
  ],
  ["not quite", fresh(8, { ended: 7, duration_ms: 7 * 1000, usual_ms: 500 }), done({ ms: 1000 }), {
    in_force: 9,
  }],
  [
    "twice of very little is little",
    fresh(8, { ended: 7, duration_ms: 7 * 100, usual_ms: 10 }),
    done({ ms: 100 }),
    {
      in_force: 9,
    },
  ],
  ["an end that says nothing", fresh(4, { ended: 3 }), done({ sign: null }), {
    in_force: 4,
    ended: 3,
  }],
  ["an end of before that says nothing", fresh(4, { stale: 2 }), done({ sign: null }), {
    in_force: 4,
    stale: 1,
  }],
  ["the least was raised", fresh(1, { stale: 5 }), done(), { in_force: 2, stale: 4 }],
  ["the most was lowered", fresh(20), done({ sign: null }), { in_force: 10 }],
  ["without a duration", fresh(2, { ended: 1 }), done({ ms: null as never }), {
    in_force: 3,
    usual_ms: 0,
  }],
];

t.ledgerTest("what is in force after a run, case by case", async ({ sql }) => {
  const told = await after(
    sql,
    table.map(([, state, end]) => ({ state, least: 2, most: 10, end })),
  );
  for (const [place, [what, state, , expected]] of table.entries()) {
    assert.deepEqual(
      { ...told[place]!, ...expected },
      told[place],
      `${what}: ${JSON.stringify(state)}`,
    );
  }
});

t.ledgerTest(
  "1,000 random sequences of ends come out as a model's, never outside least and most",
  async ({ sql }) => {
    const random = quietRandom(1);
    const steps: { state: State; least: number; most: number; end: End }[] = [];
    const expected: State[] = [];
    for (let sequence = 0; sequence < cases(1000); sequence++) {
      let least = random.whole(1, 10);
      let most = least + random.whole(0, 30);
      let state = fresh(least);
      for (let step = random.whole(10, 80); step > 0; step--) {
        if (random.chance(0.02)) {
          least = random.whole(1, 10);
          most = least + random.whole(0, 30);
        }
        const end: End = {
          sign: random.pick(
            ["done", "done", "done", "done", "done", "failed", "strained", null] as Sign[],
          ),
          ms: random.chance(0.1) ? random.whole(1, 100_000) : random.whole(400, 600),
          demand: random.pick([1, 1, 1, 0, -1]),
          underWay: random.whole(0, 12),
        };
        steps.push({ state, least, most, end });
        state = modelAfter(state, least, most, end);
        assert.ok(state.in_force >= least && state.in_force <= most);
        expected.push(state);
      }
    }
    const told = await after(sql, steps);
    for (const [place, state] of told.entries()) {
      // The model's numbers are binary, the database's decimal.
      const near = Math.abs((state.usual_ms ?? 0) - (expected[place]!.usual_ms ?? 0)) < 0.002;
      assert.ok(near, `step ${place}`);
      assert.deepEqual(
        { ...state, usual_ms: null },
        { ...expected[place], usual_ms: null },
        `step ${place}`,
      );
    }
    assert.ok(told.length > 5000);
  },
);

const signs: [status: string, verdict: string, sign: Sign][] = [
  ["completed", "ok", "done"],
  ["completed", "ok_contradicted", "done"],
  ["deferred", "deferred", "strained"],
  ...[
    "rate_limited",
    "boot_error",
    "worker_limit",
    "gateway_timeout",
    "unreachable",
    "lost",
    "stalled",
    "timed_out",
  ]
    .map((verdict) => ["failed", verdict, "strained"] as [string, string, Sign]),
  ...[
    "job_error",
    "http_error",
    "unauthorized",
    "not_found",
    "no_receipt",
    "interrupted",
    "dispatch_failed",
  ]
    .map((verdict) => ["failed", verdict, "failed"] as [string, string, Sign]),
  ...["bad_input", "misconfigured", "not_sent"].map((verdict) =>
    ["failed", verdict, null] as [string, string, Sign]
  ),
  ["cancelled", "cancelled", null],
  ["skipped", "skipped", null],
];

t.ledgerTest("each verdict says how the target copes, or nothing", async ({ sql }) => {
  for (const [status, verdict, expected] of signs) {
    const sign = await t.value(
      sql,
      "scheduler.parallel_sign(jsonb_populate_record(null::scheduler_runs, jsonb_build_object('status', $1::text, 'verdict', $2::text)))",
      [status, verdict],
    );
    assert.equal(sign, expected, verdict);
  }
  const known =
    (await sql`select verdict from scheduler.verdicts where verdict not in ('missed', 'ok_unanswered')`)
      .map((row) => row.verdict);
  assert.deepEqual(known.filter((verdict) => !signs.some((sign) => sign[1] === verdict)), []);
});

const LIMITS = {
  schedule: null,
  overlap_policy: "allow",
  parallel_least: 2,
  parallel_limit: 8,
  max_attempts: 1,
};

const enqueue = (sql: Sql, runs: number, now: Date) =>
  sql`select scheduler.enqueue_runs('job', (select jsonb_agg('{}'::jsonb) from generate_series(1, ${runs})), null, ${now})`;

const underWay = async (sql: Sql): Promise<Row[]> => [
  ...await sql`select * from scheduler_runs where status in ('dispatched', 'running') order by dispatched_at, id`,
];

const inForce = async (sql: Sql): Promise<number> =>
  await t.value(
    sql,
    "(select scheduler.limit_in_force(jobs) from scheduler_jobs as jobs where name = 'job')",
  );

/** Ends the oldest run under way, begun a second before. */
async function endOne(sql: Sql, outcome: string, now: Date): Promise<void> {
  const [run] = await underWay(sql);
  await t.begin(sql, run!.id, t.after(-1 / 60, now));
  await t.finish(sql, run!.id, outcome, now);
}

t.ledgerTest(
  "under load with a healthy target it reaches the most, and falls back when nothing waits",
  async ({ sql }) => {
    await t.register(sql, "job", LIMITS);
    await enqueue(sql, 100, at(0));
    const seen = new Set<number>();
    let most = 0;
    for (let run = 0; run < 100; run++) {
      const now = await inForce(sql);
      most = Math.max(most, (await underWay(sql)).length);
      assert.ok((await underWay(sql)).length <= now);
      seen.add(now);
      await endOne(sql, "completed", at(run / 10));
    }
    assert.deepEqual([...seen].sort(), [2, 3, 4, 5, 6, 7, 8]);
    assert.equal(most, 8);
    assert.ok(await inForce(sql) < 8, "the end of the queue has no round of waiting work");
    for (let run = 0; run < 40; run++) {
      await enqueue(sql, 1, at(20 + run));
      await endOne(sql, "completed", at(20.1 + run));
    }
    assert.equal(await inForce(sql), 2);
    await t.assertInvariants(sql);
  },
);

t.ledgerTest(
  "a target that refuses halves it, once for all that was under way",
  async ({ sql }) => {
    await t.register(sql, "job", LIMITS);
    await sql`insert into scheduler.parallel_states (job_name, in_force) values ('job', 8)`;
    await enqueue(sql, 40, at(0));
    const sent = await underWay(sql);
    assert.equal(sent.length, 8);
    for (const run of sent) await t.answer(sql, run.id, { status: 429 }, at(0.1));
    await t.pulse(sql, at(0.2));
    assert.equal(await inForce(sql), 4);
    assert.equal((await underWay(sql)).length, 4);
    for (const run of await underWay(sql)) await t.answer(sql, run.id, { status: 429 }, at(0.3));
    await t.pulse(sql, at(0.4));
    assert.equal(await inForce(sql), 2);
    for (let round = 0; round < 10; round++) {
      for (const run of await underWay(sql)) {
        await t.answer(
          sql,
          run.id,
          { status: 429 },
          at(1 + round),
        );
      }
      await t.pulse(sql, at(1.1 + round));
      assert.equal(await inForce(sql), 2, "never less than the least");
    }
  },
);

t.ledgerTest("a target whose runs mostly fail is asked less", async ({ sql }) => {
  await t.register(sql, "job", LIMITS);
  await sql`insert into scheduler.parallel_states (job_name, in_force) values ('job', 8)`;
  await enqueue(sql, 60, at(0));
  for (let run = 0; run < 40; run++) await endOne(sql, "failed", at(run / 100));
  assert.equal(await inForce(sql), 2);
});

t.ledgerTest(
  "it stays as it is while what waits is held back by something else",
  async ({ sql }) => {
    await sql`select scheduler.register_group('g', parallel_limit => 3)`;
    await t.register(sql, "job", { ...LIMITS, group_name: "g" });
    await enqueue(sql, 40, at(0));
    for (let run = 0; run < 30; run++) {
      await endOne(sql, "completed", at(run / 100));
      assert.equal((await underWay(sql)).length, Math.min(3, await inForce(sql)));
    }
    assert.ok(
      [3, 4].includes(await inForce(sql)),
      `${await inForce(sql)} of a group that has room for 3`,
    );
  },
);

t.ledgerTest(
  "answers that are read together raise it as those that come one by one",
  async ({ sql }) => {
    await t.register(sql, "job", { ...LIMITS, target: "https://a.test/" });
    await enqueue(sql, 60, at(0));
    for (let round = 1; round <= 7; round++) {
      for (const run of await underWay(sql)) {
        await t.answer(
          sql,
          run.id,
          { status: 200 },
          at(round),
        );
      }
      await t.pulse(sql, at(round + 0.1));
    }
    assert.equal(await inForce(sql), 8);
  },
);

t.ledgerTest("what was cancelled before it was sent says nothing", async ({ sql }) => {
  await t.register(sql, "job", LIMITS);
  await sql`insert into scheduler.parallel_states (job_name, in_force, stale) values ('job', 2, 2)`;
  await enqueue(sql, 6, at(0));
  const [queued] = await sql`select id from scheduler_runs where status = 'queued'`;
  await t.value(sql, "scheduler.cancel_run($1, 'why', 'Ada', $2)", [queued!.id, at(1)]);
  const stale = async () => (await sql`select stale from scheduler.parallel_states`)[0]!.stale;
  assert.equal(await stale(), 2);
  const [sent] = await underWay(sql);
  await t.value(sql, "scheduler.cancel_run($1, 'why', 'Ada', $2)", [sent!.id, at(1)]);
  assert.equal(await stale(), 1, "one that was under way is one of those");
});

t.ledgerTest("a clock that is set back ends no run in an error", async ({ sql }) => {
  await t.register(sql, "job", { ...LIMITS, target: "https://a.test/" });
  await enqueue(sql, 4, at(0));
  const [first, second] = await underWay(sql);
  await t.answer(sql, first!.id, { status: 200 }, at(0));
  await t.answer(sql, second!.id, { status: 200 }, at(0));
  await t.pulse(sql, at(-60));
  assert.deepEqual((await t.runs(sql, "job")).map((row) => row.status).sort(), [
    "completed",
    "completed",
    "dispatched",
    "dispatched",
  ]);
});

t.ledgerTest("explain says how many have to end after it was lowered", async ({ sql }) => {
  await t.register(sql, "job", LIMITS);
  await sql`insert into scheduler.parallel_states (job_name, in_force) values ('job', 8)`;
  await enqueue(sql, 20, at(0));
  const waits = async () =>
    (await t.value(sql, "scheduler.explain('job', null, $1)", [at(1)])).replace(/^.* waits /, "");
  await sql`update scheduler.parallel_states set in_force = 4`;
  assert.equal(
    await waits(),
    "for 5 of the 8 runs under way to end, as 4 may be under way now (from 2 to 8).",
  );
  await t.register(sql, "job", { ...LIMITS, parallel_least: null, parallel_limit: 3 });
  assert.equal(await waits(), "for 6 of the 8 runs under way to end.");
  await t.register(sql, "job", { ...LIMITS, parallel_least: null, parallel_limit: 20 });
  assert.equal(await waits(), "for the next pulse.");
});

t.ledgerTest("explain, status and the scrape show what is in force", async ({ sql }) => {
  await t.register(sql, "job", LIMITS);
  await t.register(sql, "fixed", { overlap_policy: "allow", parallel_limit: 3 });
  await sql`insert into scheduler.parallel_states (job_name, in_force) values ('job', 4)`;
  await enqueue(sql, 5, at(0));
  assert.match(
    await t.value(sql, "scheduler.explain('job', null, $1)", [at(0)]),
    /waits for one of the 4 runs under way to end, as 4 may be under way now \(from 2 to 8\)\.$/,
  );
  const status = await t.value(sql, "scheduler.api_status(null, $1)", [at(0)]);
  assert.deepEqual(status.jobs.map((job: Row) => job.parallel), [
    { least: null, most: 3, in_force: 3 },
    { least: 2, most: 8, in_force: 4 },
  ]);
  const metric = await t.value(sql, "scheduler.parallel_metrics()");
  assert.deepEqual([metric.labels.job_name, metric.series[0].values], [["fixed", "job"], [3, 4]]);
});

t.ledgerTest("a run that waits for what is in force is not stuck", async ({ sql }) => {
  await t.register(sql, "job", { ...LIMITS, timeout_seconds: 3600 });
  await enqueue(sql, 4, at(0));
  await sql`update scheduler_runs set created_at = now() - interval '3 hours', dispatched_at = now(),
    status = 'dispatched' where status = 'dispatched'`;
  await sql`update scheduler_runs set created_at = now() - interval '3 hours'`;
  assert.equal(await t.value(sql, "(scheduler.stuck_runs()).runs::integer"), 0);
});

t.ledgerTest(
  "without parallel_least the limit is what it was, and no state is kept",
  async ({ sql }) => {
    await t.register(sql, "job", { ...LIMITS, parallel_least: null });
    await enqueue(sql, 20, at(0));
    assert.equal((await underWay(sql)).length, 8);
    await endOne(sql, "failed", at(1));
    assert.equal((await underWay(sql)).length, 8);
    assert.deepEqual([...await sql`select from scheduler.parallel_states`], []);
  },
);

t.ledgerTest(
  "registered with other bounds it keeps to them at once; without a least its state goes",
  async ({ sql }) => {
    await t.register(sql, "job", LIMITS);
    await sql`insert into scheduler.parallel_states (job_name, in_force) values ('job', 8)`;
    await t.register(sql, "job", { ...LIMITS, parallel_limit: 5 });
    assert.equal(await inForce(sql), 5);
    await t.register(sql, "job", { ...LIMITS, parallel_least: 7 });
    assert.equal(await inForce(sql), 8);
    await t.register(sql, "job", { ...LIMITS, parallel_least: null });
    assert.deepEqual([...await sql`select from scheduler.parallel_states`], []);
  },
);

t.ledgerTest("bounds that contradict each other are refused by both names", async ({ sql }) => {
  for (
    const [values, message] of [
      [
        { parallel_limit: null },
        /parallel_least and parallel_limit contradict each other: without a most/,
      ],
      [
        { parallel_least: 9 },
        /parallel_least and parallel_limit contradict each other: the least is more/,
      ],
      [{ parallel_least: 0 }, /parallel_least must be from 1 to 1000, got 0$/],
      [{ overlap_policy: "skip" }, /parallel_limit needs overlap_policy => 'allow', got 'skip'$/],
    ] as [Record<string, unknown>, RegExp][]
  ) {
    const error = await refusal(t.register(sql, "job", { ...LIMITS, ...values }));
    assert.equal(error.code, "22023");
    assert.match(error.message, message);
  }
  await t.register(sql, "job", { ...LIMITS, parallel_least: 8 });
});

/** Writes down each run that is sent while as many as may be are under way. */
const WATCH = `
  create table public.too_many (under_way integer, in_force integer);
  create function public.watch() returns trigger language plpgsql as $$
  declare
    v_under_way integer := (select count(*) from public.scheduler_runs
      where job_name = new.job_name and status in ('dispatched', 'running'));
    v_in_force integer := (select scheduler.limit_in_force(jobs) from public.scheduler_jobs as jobs
      where name = new.job_name);
  begin
    if v_under_way > v_in_force then
      insert into public.too_many values (v_under_way, v_in_force);
    end if;
    return null;
  end $$;
  create trigger watch after update of status on public.scheduler_runs for each row
    when (new.status = 'dispatched') execute function public.watch()`;

t.ledgerTest("ends and dispatches on 15 connections at once send none beyond it", async (db) => {
  await t.register(db.sql, "job", LIMITS);
  await db.sql.unsafe(WATCH);
  await enqueue(db.sql, 200, at(0));
  const connections = Array.from({ length: 15 }, () => t.impatient(db));
  const random = quietRandom(7);
  const seen = new Set<number>();
  for (let round = 1; round <= 12; round++) {
    const running = await underWay(db.sql);
    seen.add(running.length);
    await Promise.all(
      running.map(async (run, place) => {
        const sql = connections[place]!;
        await t.begin(sql, run.id, at(round));
        await t.finish(
          sql,
          run.id,
          random.chance(0.9) ? "completed" : "timed_out",
          at(round + 0.01),
        );
      }).concat(t.pulse(connections[14]!, at(round + 0.01)).then(() => {})),
    );
  }
  assert.deepEqual([...await db.sql`select * from too_many`], []);
  assert.ok(seen.size > 2 && Math.max(...seen) <= 8, [...seen].join());
  // Of two that go by rows that neither sees yet, none would have been written down.
  const [most] = await db.sql`
    select max(at_once)::int as runs from (
      select count(*) as at_once from scheduler_runs as sent join scheduler_runs as other
        on other.dispatched_at <= sent.dispatched_at and coalesce(other.completed_at, 'infinity') > sent.dispatched_at
      where sent.dispatched_at is not null group by sent.id) as counted`;
  assert.ok(most!.runs <= 8, `${most!.runs} at once`);
  await t.assertInvariants(db.sql);
});
