import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { quietRandom } from "../../support/random.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const COOLDOWN = 600;
const at = (minutes: number) => t.after(minutes);

async function withBreaker(sql: Sql, values: Record<string, unknown> = {}): Promise<void> {
  await t.register(sql, "job", {
    breaker_failures: 2,
    breaker_cooldown_seconds: COOLDOWN,
    max_attempts: 1,
    overlap_policy: "allow",
    ...values,
  });
}

/** The occurrence of that minute comes due, and none before it; its run. */
async function due(sql: Sql, minute: number): Promise<string> {
  await sql`update scheduler_jobs set next_run_at = ${at(minute)} where name = 'job'`;
  return (await t.dispatch(sql, "job", at(minute)))!;
}

/** The occurrence of that minute is sent and ends. */
async function occur(sql: Sql, outcome: string, minute: number): Promise<string> {
  const id = await due(sql, minute);
  await t.begin(sql, id, at(minute));
  await t.finish(sql, id, outcome, at(minute));
  return id;
}

const breaker = async (sql: Sql): Promise<Row | undefined> =>
  (await sql`select * from scheduler_breakers where job_name = 'job'`)[0];

async function state(sql: Sql, now: Date): Promise<string> {
  const row = await breaker(sql);
  return await t.value(sql, "scheduler.breaker_state($1, $2, $3)", [
    row?.opened_at ?? null,
    COOLDOWN,
    now,
  ]);
}

interface Breaker {
  failures: number;
  openedAt: number | null;
  triedBy: number | null;
}

/** The design's words: so many failures in a row open it, one tries after the cool-down, success closes it. */
function modelAfter(breaker: Breaker, limit: number, run: number, status: string, now: number) {
  const tried = breaker.triedBy === run;
  const next = { ...breaker, triedBy: tried ? null : breaker.triedBy };
  if (status === "completed") return { failures: 0, openedAt: null, triedBy: null };
  if (status !== "failed") return next;
  next.failures += 1;
  if (tried || (next.openedAt === null && next.failures >= limit)) next.openedAt = now;
  return next;
}

const modelState = (openedAt: number | null, cooldown: number, now: number) =>
  openedAt === null
    ? "closed"
    : now < openedAt + cooldown && now > openedAt - cooldown
    ? "open"
    : "half-open";

t.ledgerTest("1,000 random sequences of results come out as a model's", async ({ sql }) => {
  const random = quietRandom(1);
  const ids = Array.from({ length: 4 }, () => crypto.randomUUID());
  const seconds = (value: number | null) => value === null ? null : t.after(value / 60);
  const steps: unknown[] = [];
  const expected: unknown[] = [];
  for (let sequence = 0; sequence < 1000; sequence++) {
    const limit = random.whole(1, 5);
    const cooldown = random.whole(1, 100);
    let model: Breaker = { failures: 0, openedAt: null, triedBy: null };
    let now = 0;
    for (let step = random.whole(5, 20); step > 0; step--) {
      now += random.whole(-5, 60);
      const state = modelState(model.openedAt, cooldown, now);
      const run = random.whole(0, 3);
      if (model.triedBy === null && state === "half-open" && random.chance(0.8)) {
        model = { ...model, triedBy: run };
      }
      const status = random.pick([
        "completed",
        "failed",
        "failed",
        "failed",
        "cancelled",
        "deferred",
      ]);
      steps.push({
        failures: model.failures,
        opened_at: seconds(model.openedAt),
        tried_by: model.triedBy === null ? null : ids[model.triedBy],
        limit_is: limit,
        cooldown,
        run: ids[run],
        status,
        now: seconds(now),
      });
      model = modelAfter(model, limit, run, status, now);
      expected.push([
        state,
        model.failures,
        seconds(model.openedAt)?.getTime() ?? null,
        model.triedBy === null ? null : ids[model.triedBy],
      ]);
    }
  }
  const rows = await sql.unsafe(
    `select scheduler.breaker_state(steps.opened_at, cooldown, now) as state, after.failures, after.opened_at, after.tried_by
     from rows from (jsonb_to_recordset($1::jsonb) as (failures integer, opened_at timestamptz, tried_by uuid,
         limit_is integer, cooldown integer, run uuid, status text, now timestamptz)) with ordinality
         as steps (failures, opened_at, tried_by, limit_is, cooldown, run, status, now, place),
       lateral scheduler.breaker_after(row('job', steps.failures, steps.opened_at, steps.tried_by)::public.scheduler_breakers, limit_is,
         run, status, now) as after
     order by place`,
    [steps as never],
  );
  assert.ok(rows.length > 5000);
  assert.deepEqual(
    rows.map((row) => [row.state, row.failures, row.opened_at?.getTime() ?? null, row.tried_by]),
    expected,
  );
});

t.ledgerTest(
  "random ends of the ledger's runs leave the breaker that a model has",
  async ({ sql }) => {
    for (let seed = 1; seed <= 8; seed++) {
      const random = quietRandom(seed);
      const limit = random.whole(1, 3);
      const day = seed * 1440;
      await t.register(sql, "job", {
        breaker_failures: limit,
        breaker_cooldown_seconds: COOLDOWN,
        max_attempts: 1,
        overlap_policy: "allow",
      }, at(day));
      await sql`delete from scheduler_breakers`;
      let model: Breaker = { failures: 0, openedAt: null, triedBy: null };
      for (let minute = day; minute < day + 40; minute++) {
        const seconds = minute * 60;
        const id = (await t.dispatch(sql, "job", at(minute)))!;
        const run = await t.run(sql, id);
        const is = modelState(model.openedAt, COOLDOWN, seconds);
        assert.equal(await state(sql, at(minute)), is, `seed ${seed}, minute ${minute - day}`);
        assert.equal(run.status, is === "open" ? "skipped" : "dispatched");
        if (is === "open") continue;
        if (is === "half-open") model = { ...model, triedBy: minute };
        const outcome = random.pick(["completed", "failed", "failed", "cancelled"]);
        if (outcome === "cancelled") {
          await t.value(sql, "scheduler.cancel_run($1, 'why', 'ann', $2)", [id, at(minute)]);
        } else {
          await t.begin(sql, id, at(minute));
          await t.finish(sql, id, outcome, at(minute));
        }
        model = modelAfter(model, limit, minute, outcome, seconds);
        const row = await breaker(sql);
        assert.deepEqual(
          [row!.failures, row!.opened_at?.getTime() ?? null, row!.tried_by],
          [
            model.failures,
            model.openedAt === null ? null : at(model.openedAt / 60).getTime(),
            null,
          ],
          `seed ${seed}, minute ${minute - day}`,
        );
      }
    }
  },
);

t.ledgerTest("occurrences are skipped while it is open, and say so", async ({ sql }) => {
  await withBreaker(sql);
  await occur(sql, "failed", 0);
  assert.equal(await state(sql, at(0)), "closed");
  await occur(sql, "failed", 1);
  assert.equal(await state(sql, at(1)), "open");
  const skipped = await t.run(sql, await due(sql, 2));
  assert.deepEqual([skipped.status, skipped.skip_kind, skipped.skip_reason], [
    "skipped",
    "breaker",
    "breaker: 2 failures in a row, open since 2026-03-02 12:01 UTC; the next try is in 9 minutes, after 2026-03-02 12:11:00 UTC",
  ]);
  assert.equal(
    await t.value(sql, "scheduler.explain('job', $1, $1)", [at(2)]),
    `job was skipped at 2026-03-02 12:02 UTC: ${skipped.skip_reason}.`,
  );
  const messages =
    await sql`select message from scheduler_activity where source = 'job' order by id`;
  assert.ok(
    messages.some((row) =>
      /its breaker opens after 2 failures in a row: the next try is in 10 minutes$/.test(
        row.message,
      )
    ),
    "the activity tells of it",
  );
});

t.ledgerTest("the run that tries closes it by success", async ({ sql }) => {
  await withBreaker(sql);
  await occur(sql, "failed", 0);
  await occur(sql, "failed", 1);
  assert.equal(await state(sql, at(11)), "half-open");
  await occur(sql, "completed", 11);
  assert.deepEqual(await breaker(sql), {
    job_name: "job",
    failures: 0,
    opened_at: null,
    tried_by: null,
  });
  await due(sql, 12);
  assert.equal((await t.runs(sql, "job")).at(-1)!.status, "dispatched");
});

t.ledgerTest(
  "the run that tries opens it again by failure, for a whole cool-down",
  async ({ sql }) => {
    await withBreaker(sql);
    await occur(sql, "failed", 0);
    await occur(sql, "failed", 1);
    await occur(sql, "failed", 11);
    assert.equal(await state(sql, at(20.9)), "open");
    assert.equal(await state(sql, at(21)), "half-open");
  },
);

t.ledgerTest(
  "an occurrence that comes while another tries is skipped and names it",
  async ({ sql }) => {
    await withBreaker(sql);
    await occur(sql, "failed", 0);
    await occur(sql, "failed", 1);
    const tries = await due(sql, 11);
    const skipped = await t.run(sql, await due(sql, 12));
    assert.equal(
      skipped.skip_reason,
      `breaker: 2 failures in a row, open since 2026-03-02 12:01 UTC; run ${tries} tries`,
    );
  },
);

for (const end of ["cancelled", "deferred"]) {
  t.ledgerTest(`a try that is ${end} leaves room for another`, async ({ sql }) => {
    await withBreaker(sql);
    await occur(sql, "failed", 0);
    await occur(sql, "failed", 1);
    const tries = await due(sql, 11);
    if (end === "cancelled") {
      await t.value(sql, "scheduler.cancel_run($1, 'why', 'ann', $2)", [tries, at(11)]);
    } else {
      await t.begin(sql, tries, at(11));
      await sql`select scheduler.finish_run(${tries}, 'deferred', p_resume_at => ${
        at(30)
      }, p_now => ${at(11)})`;
    }
    assert.equal(await state(sql, at(11)), "half-open");
    assert.equal((await t.run(sql, await due(sql, 12))).status, "dispatched");
  });
}

t.ledgerTest(
  "a call by hand beside the run that tries does not let a third one go",
  async ({ sql }) => {
    await withBreaker(sql);
    await occur(sql, "failed", 0);
    await occur(sql, "failed", 1);
    const tries = await due(sql, 11);
    const byHand = await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [at(11.1)]);
    assert.equal(
      (await t.run(sql, byHand)).status,
      "dispatched",
      "a person's order goes in any case",
    );
    await t.value(sql, "scheduler.cancel_run($1, 'why', 'ann', $2)", [byHand, at(11.2)]);
    assert.equal((await breaker(sql))!.tried_by, tries);
    assert.equal((await t.run(sql, await due(sql, 12))).status, "skipped");
  },
);

t.ledgerTest("retries and enqueued runs wait for it, and one of them tries", async ({ sql }) => {
  await t.register(sql, "job", {
    schedule: null,
    breaker_failures: 1,
    breaker_cooldown_seconds: COOLDOWN,
    max_attempts: 3,
    backoff_base_seconds: 1,
    overlap_policy: "allow",
  });
  const enqueue = (minute: number) =>
    t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [at(minute)]);
  await enqueue(0);
  const [first] = await t.runs(sql, "job");
  await t.begin(sql, first!.id, at(0));
  await t.finish(sql, first!.id, "failed", at(0));
  await enqueue(1);
  await t.pulse(sql, at(2));
  const waiting = await t.runs(sql, "job");
  assert.deepEqual(waiting.map((row) => [row.status, row.trigger, row.waiting?.for ?? null]), [
    ["failed", "enqueued", null],
    ["queued", "retry", "breaker"],
    ["queued", "enqueued", "breaker"],
  ]);
  assert.deepEqual(waiting.slice(1).map((row) => new Date(row.waiting.until)), [at(10), at(10)]);
  assert.match(
    await t.value(sql, "scheduler.explain('job', null, $1)", [at(2)]),
    /waits for the breaker of the job, until 12:10:00/,
  );
  await t.pulse(sql, at(9.9));
  assert.equal((await t.runs(sql, "job")).filter((row) => row.status === "dispatched").length, 0);
  await t.pulse(sql, at(10));
  const tries = (await t.runs(sql, "job")).filter((row) => row.status === "dispatched");
  assert.deepEqual(tries.map((row) => row.trigger), ["retry"]);
  const [other] = (await t.runs(sql, "job")).filter((row) => row.status === "queued");
  assert.deepEqual([other!.waiting.for, other!.waiting.until], ["breaker", null]);

  // It fails: what waits knows of the new end of the cool-down, and comes then.
  await t.begin(sql, tries[0]!.id, at(11));
  await t.finish(sql, tries[0]!.id, "failed", at(11));
  assert.deepEqual(new Date((await t.run(sql, other!.id)).waiting.until), at(21));
  assert.deepEqual((await t.run(sql, other!.id)).waiting.since, other!.waiting.since);
  await sql`update scheduler.pulse_state set last_mended_at = ${at(21)}`;
  await t.pulse(sql, at(21));
  const now = (await t.runs(sql, "job")).filter((row) => row.status === "dispatched");
  assert.equal(now.length, 1);
  await t.begin(sql, now[0]!.id, at(22));
  await t.finish(sql, now[0]!.id, "completed", at(22));
  assert.equal(await state(sql, at(22)), "closed");
  assert.deepEqual(
    (await t.runs(sql, "job")).filter((row) => row.status === "queued"),
    [],
    "what waited goes as it closes",
  );
});

t.ledgerTest(
  "the occurrences of a job without a schedule are skipped like others",
  async ({ sql }) => {
    await t.register(sql, "up", { schedule: "0 * * * *" });
    await t.register(sql, "job", {
      schedule: null,
      depends_on: ["up"],
      breaker_failures: 1,
      breaker_cooldown_seconds: 86400,
      max_attempts: 1,
    });
    for (const hour of [0, 60]) {
      const up = (await t.dispatch(sql, "up", at(hour)))!;
      await t.begin(sql, up, at(hour), "up");
      await t.finish(sql, up, "completed", at(hour));
      const run = (await t.runs(sql, "job")).at(-1)!;
      if (hour === 60) {
        assert.deepEqual([run.status, run.skip_kind], ["skipped", "breaker"]);
        continue;
      }
      await t.begin(sql, run.id, at(hour));
      await t.finish(sql, run.id, "failed", at(hour));
    }
  },
);

t.ledgerTest("50 tries at once from many connections: one goes", async (db) => {
  const { sql } = db;
  await withBreaker(sql, { schedule: null, breaker_failures: 1 });
  await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [t.NOON]);
  const [first] = await t.runs(sql, "job");
  await t.begin(sql, first!.id, t.NOON);
  await t.finish(sql, first!.id, "failed", t.NOON);
  const connections = Array.from({ length: 25 }, () => t.impatient(db));
  await Promise.all(
    Array.from(
      { length: 50 },
      (_, n) =>
        t.value(connections[n % 25]!, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [
          at(10 + n / 100),
        ]),
    ),
  );
  const [row] = await sql`
    select count(*) filter (where status = 'dispatched')::int as sent,
      count(*) filter (where status = 'queued' and waiting ->> 'for' = 'breaker')::int as waiting
    from scheduler_runs where trigger = 'enqueued' and id <> ${first!.id}`;
  assert.deepEqual({ ...row }, { sent: 1, waiting: 49 });
});

t.ledgerTest(
  "of 10 failures of runs that were under way when it opened none prolongs it",
  async ({ sql }) => {
    await withBreaker(sql, { schedule: null });
    await t.value(sql, "scheduler.enqueue_runs('job', $1::jsonb, null, $2)", [
      Array(10).fill({}),
      t.NOON,
    ]);
    for (const [n, { id }] of (await t.runs(sql, "job")).entries()) {
      await t.begin(sql, id, t.NOON);
      await t.finish(sql, id, "failed", at(n));
    }
    assert.deepEqual((await breaker(sql))!.opened_at, at(1));
    assert.equal((await breaker(sql))!.failures, 10);
  },
);

t.ledgerTest("a person closes it, with a reason and an author", async ({ sql }) => {
  await withBreaker(sql, { breaker_failures: 1, max_attempts: 2, backoff_base_seconds: 1 });
  await occur(sql, "failed", 0);
  await sql`update scheduler_jobs set next_run_at = ${at(600)}`;
  await t.pulse(sql, at(2));
  const waits = () =>
    t.runs(sql, "job").then((all) => all.filter((row) => row.status === "queued"));
  assert.equal((await waits()).length, 1);
  for (const args of ["'job', '', 'ann'", "'job', 'why', ' '", "'job', null, 'ann'"]) {
    assert.equal(
      (await refusal(sql.unsafe(`select scheduler.close_breaker(${args})`))).code,
      "22023",
    );
  }
  assert.equal(
    (await refusal(sql`select scheduler.close_breaker('other', 'why', 'ann')`)).code,
    "SD001",
  );
  assert.equal(
    await t.value(sql, "scheduler.close_breaker('job', 'it is mended', 'ann', $1)", [at(2.5)]),
    "the breaker of job is closed; what waits is sent with the next pulse",
  );
  assert.equal(await state(sql, at(2.5)), "closed");
  // Without the look at all that waits, once a minute.
  await t.pulse(sql, at(2.6));
  assert.equal((await waits()).length, 0);
  const [audit] = await sql`select author, verb, subject, reason, before from scheduler_audit
    where verb not like 'register%'`;
  assert.deepEqual([
    audit!.author,
    audit!.verb,
    audit!.subject,
    audit!.reason,
    audit!.before.failures,
  ], [
    "ann",
    "close_breaker",
    "job",
    "it is mended",
    1,
  ]);
  assert.equal(
    await t.value(sql, "scheduler.close_breaker('job', 'once more', 'ann', $1)", [at(3)]),
    "the breaker of job is closed",
  );
});

t.ledgerTest("a job registered without breaker_failures has none", async ({ sql }) => {
  await withBreaker(sql);
  await occur(sql, "failed", 0);
  await occur(sql, "failed", 1);
  await t.register(sql, "job", { overlap_policy: "allow" }, at(2));
  assert.equal(await breaker(sql), undefined);
  assert.equal((await t.run(sql, await due(sql, 2))).status, "dispatched");
});

t.ledgerTest("a cool-down without a breaker is refused", async ({ sql }) => {
  await assert.rejects(
    t.register(sql, "job", { breaker_cooldown_seconds: 60 }),
    /breaker_cooldown_seconds and breaker_failures contradict each other/,
  );
});
