import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const health = (sql: Sql, now: Date) => t.value(sql, "scheduler.api_health($1)", [now]);
const healthOf = (sql: Sql, job: string, now: Date) =>
  t.value(sql, "scheduler.api_health_of($1, $2)", [job, now]);

const stalled: [boolean, string | null, number | null, boolean][] = [
  [true, null, 0, false],
  [true, null, 1, false],
  [true, null, 2, true],
  [true, null, 40, true],
  [true, null, null, false],
  [true, "paused", 2, false],
  [true, "group_paused", 2, false],
  [true, "incident", 2, false],
  [false, null, 2, false],
];
t.ledgerTest(
  "two occurrences due without a completed run are stalled, unless it is stopped",
  async ({ sql }) => {
    for (const [...inputs] of stalled) {
      const expected = inputs.pop();
      const found = await t.value(sql, "scheduler.is_stalled($1, $2, $3)", inputs);
      assert.equal(found, expected, JSON.stringify(inputs));
    }
  },
);

t.ledgerTest(
  "health has the shape that watchers know, and a job's alias as its service",
  async ({ sql }) => {
    await sql`select scheduler.register_budget('api', 100, '1 minute')`;
    await t.register(sql, "job", { alias: "metrics-service" });
    await t.register(sql, "another");
    await t.register(sql, "off", { enabled: false });
    const run = await t.start(sql, "job", t.NOON);
    await t.begin(sql, run, t.NOON);
    await t.finish(sql, run, "completed", t.NOON);
    const found = await health(sql, t.after(0.5));
    assert.deepEqual(Object.keys(found).sort(), [
      "budgets",
      "services",
      "stalled_services",
      "timestamp",
    ]);
    assert.deepEqual(found.budgets, { api: { tokens: 100, capacity: 100 } });
    assert.deepEqual(found.stalled_services, []);
    const [first, second, ...others] = found.services;
    assert.deepEqual(others, [], "a disabled job is no service");
    assert.equal(first.service, "another");
    assert.deepEqual({ ...second, last_run: Date.parse(second.last_run) }, {
      service: "metrics-service",
      job: "job",
      last_run: t.NOON.getTime(),
      age_seconds: 30,
      status: "HEALTHY",
      state: "healthy",
      due_without_success: 0,
    });
  },
);

t.ledgerTest(
  "what is due is counted once, whether it failed, is retried, at work or has no row",
  async ({ sql }) => {
    await t.register(sql, "job", {
      max_attempts: 2,
      backoff_base_seconds: 1,
      backoff_cap_seconds: 1,
    });
    const due = async (now: Date) => {
      const [service] = (await health(sql, now)).services;
      return [service.due_without_success, service.status];
    };
    const first = await t.start(sql, "job", t.NOON);
    assert.deepEqual(await due(t.NOON), [1, "HEALTHY"], "it is at work");
    await t.begin(sql, first, t.NOON);
    await t.finish(sql, first, "failed", t.NOON);
    assert.deepEqual(await due(t.after(0.5)), [1, "HEALTHY"], "it failed and waits for its retry");
    assert.deepEqual(await due(t.after(1)), [2, "STALLED"], "the next is due and has no row");
    const [, retry] = await t.runs(sql, "job");
    await t.pulse(sql, t.after(0.6));
    await t.begin(sql, retry!.id, t.after(0.6));
    await t.finish(sql, retry!.id, "failed", t.after(0.7));
    assert.deepEqual(await due(t.after(0.8)), [1, "HEALTHY"], "both its attempts failed");
    const second = await t.start(sql, "job", t.after(1));
    assert.deepEqual(await due(t.after(1)), [2, "STALLED"]);
    assert.deepEqual((await health(sql, t.after(1))).stalled_services, ["job"]);
    await t.begin(sql, second, t.after(1));
    await t.finish(sql, second, "completed", t.after(1.5));
    assert.deepEqual(await due(t.after(1.5)), [0, "HEALTHY"]);
    assert.deepEqual(await due(t.after(2.5)), [1, "HEALTHY"], "nobody recorded 12:02");
    assert.deepEqual(await due(t.after(3.1)), [2, "STALLED"], "nor 12:03");
    await sql`select scheduler.pause('job', 'why', 'ann', p_now => ${t.after(3.1)})`;
    assert.equal((await due(t.after(9)))[1], "HEALTHY", "what is paused has nothing due");
  },
);

t.ledgerTest("calls by hand and back-filled runs are not due", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "allow" }, t.after(60));
  await sql`select scheduler.run_now('job', 'ann', p_now => ${t.NOON})`;
  await sql`select scheduler.run_now('job', 'ann', p_now => ${t.after(1)})`;
  await sql`
    select scheduler.backfill('job', ${t.after(-10)}, ${
    t.after(-5)
  }, 'why', 'ann', p_preview => false, p_now => ${t.NOON})`;
  const [service] = (await health(sql, t.after(2))).services;
  assert.ok((await t.runs(sql, "job")).length >= 4);
  assert.deepEqual([service.due_without_success, service.status], [0, "HEALTHY"]);
});

t.ledgerTest(
  "a continuous job is stalled by failures in a row, not by being at work",
  async ({ sql }) => {
    await sql`select scheduler.register_job('job', '@continuous', backoff_base_seconds => 1, backoff_cap_seconds => 1)`;
    const begun = async (minutes: number) => {
      await t.pulse(sql, t.after(minutes));
      const [open] = (await t.runs(sql, "job")).filter(({ completed_at }) => completed_at === null);
      await t.begin(sql, open!.id, t.after(minutes));
      return open!.id;
    };
    const now = new Date();
    const minutes = (now.getTime() - t.NOON.getTime()) / 60_000 + 1;
    const status = async (at: number) => (await health(sql, t.after(at))).services[0].status;
    const first = await begun(minutes);
    assert.equal(await status(minutes + 0.5), "HEALTHY");
    await t.finish(sql, first, "failed", t.after(minutes + 1));
    const second = await begun(minutes + 2);
    assert.equal(await status(minutes + 2), "HEALTHY", "one failure");
    await t.finish(sql, second, "failed", t.after(minutes + 3));
    assert.equal(await status(minutes + 3), "STALLED");
  },
);

t.ledgerTest(
  "a pack adds a key, and one that fails says why and hides nothing",
  async ({ sql }) => {
    await t.register(sql, "job");
    await sql.unsafe(`
    create schema shop;
    create function shop.orders(p_now timestamptz) returns jsonb language sql stable
      as $$ select jsonb_build_object('open', 3, 'asked_at', p_now) $$;
    create function shop.broken(p_now timestamptz) returns jsonb language sql stable
      as $$ select to_jsonb(1 / (extract(epoch from p_now)::bigint * 0)) $$;
    insert into scheduler.health_keys (key, pack, function_name)
      values ('orders', 'shop', 'shop.orders'), ('tills', 'shop', 'shop.broken')`);
    const found = await health(sql, t.NOON);
    assert.equal(found.orders.open, 3);
    assert.equal(Date.parse(found.orders.asked_at), t.NOON.getTime());
    assert.deepEqual(found.tills, { error: "division by zero" });
    assert.equal(found.services.length, 1);
    for (const key of ["services", "stalled_services", "timestamp", "budgets", "Orders", ""]) {
      const error = await refusal(sql`
      insert into scheduler.health_keys values (${key}, 'shop', 'shop.orders')`);
      assert.equal(error.code, "23514", key);
    }
  },
);

t.ledgerTest(
  "the health of a job has heartbeats, durations, errors and budgets",
  async ({ sql }) => {
    await sql`select scheduler.register_budget('api', 100, '1 minute')`;
    await sql`select scheduler.register_budget('other', 5, '1 minute')`;
    await t.register(sql, "job", { alias: "worker", max_attempts: 1, budgets: { api: 10 } });
    for (const [minute, outcome] of [[0, "completed"], [1, "completed"], [2, "failed"]] as const) {
      const run = await t.start(sql, "job", t.after(minute));
      await t.begin(sql, run, t.after(minute));
      await t.finish(sql, run, outcome, t.after(minute + 0.1 * (minute + 1)));
    }
    const open = await t.start(sql, "job", t.after(3));
    await t.begin(sql, open, t.after(3));
    await t.heartbeat(sql, open, t.after(3.2));
    const found = await healthOf(sql, "worker", t.after(3.5));
    assert.deepEqual([found.service, found.job, found.status], ["worker", "job", "STALLED"]);
    assert.deepEqual(
      found.heartbeats.map((
        { run_id, age_seconds, progress }: { run_id: string; age_seconds: number; progress: null },
      ) => [run_id, age_seconds, progress]),
      [[open, 18, null]],
    );
    assert.deepEqual(found.durations, {
      runs: 3,
      average_ms: 12_000,
      p50_ms: 12_000,
      p95_ms: 17_400,
      p99_ms: 17_880,
      longest_ms: 18_000,
    });
    const { last, ...counts } = found.errors;
    assert.deepEqual(counts, { failed: 1, missed: 0, lost: 0, failed_in_row: 1, missed_in_row: 0 });
    assert.deepEqual([last.verdict, last.message], ["job_error", "it broke"]);
    assert.deepEqual(found.budgets, { api: { tokens: 100, capacity: 100 } });
    const error = await refusal(healthOf(sql, "nobody", t.NOON));
    assert.deepEqual([error.code, error.message], ["SD001", "there is no job named 'nobody'"]);
  },
);

t.ledgerTest(
  "when a job ran last is found behind a hundred skipped occurrences, and no further",
  async ({ sql }) => {
    await t.register(sql, "job", {}, t.after(1000));
    const skip = (from: number, to: number) =>
      sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, created_at, completed_at, verdict, skip_kind, skip_reason)
    select 'job', 'skipped', 'cron', at, at, at, 'skipped', 'paused', 'paused by ann'
    from generate_series(${t.after(from)}::timestamptz, ${t.after(to)}, interval '1 minute') as at`;
    const run = await t.value(sql, "scheduler.run_now('job', 'ann', p_now => $1)", [t.NOON]);
    assert.ok(run);
    const last = async () => (await healthOf(sql, "job", t.after(500))).last_run;
    await sql`update scheduler_runs set created_at = ${t.NOON}, dispatched_at = ${t.NOON}`;
    await skip(1, 99);
    assert.equal(Date.parse(await last()), t.NOON.getTime());
    await skip(100, 100);
    assert.equal(await last(), null, "no completed run is known");
    await sql`update scheduler.run_counters set last_success_at = ${t.after(-5)}`;
    assert.equal(Date.parse(await last()), t.after(-5).getTime());
  },
);
