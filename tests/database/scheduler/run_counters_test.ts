import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

/** The counters of a job, those that are not zero. */
async function counters(sql: Sql, job = "job"): Promise<Record<string, unknown>> {
  const [row] = await sql`
    select to_jsonb(c) - 'job_name' as counted from scheduler.run_counters c where job_name = ${job}`;
  assert.ok(row, `there are no counters of ${job}`);
  return Object.fromEntries(
    Object.entries(row.counted).filter(([, value]) =>
      Array.isArray(value) ? value.some((count) => count > 0) : value !== 0 && value !== null &&
        JSON.stringify(value) !== "{}"
    ),
  );
}

/** Everything but times and histograms. */
async function counts(sql: Sql, job = "job"): Promise<Record<string, unknown>> {
  const { last_success_at: _, unsuccessful_for: __, ...rest } = await counters(sql, job);
  for (const key of Object.keys(rest)) if (/^(duration|fire_lag)(_|s)/.test(key)) delete rest[key];
  return rest;
}

/** Dispatches at `now`, begins and ends the run a second later. */
async function runOnce(sql: Sql, outcome: string, now: Date, retryable = false): Promise<string> {
  const id = (await t.dispatch(sql, "job", now))!;
  await t.begin(sql, id, now);
  await t.finish(sql, id, outcome, t.after(1 / 60, now), retryable);
  return id;
}

t.ledgerTest("a job that was just registered has all counters at zero", async ({ sql }) => {
  await t.register(sql, "job");
  assert.deepEqual(await counters(sql), {});
});

t.ledgerTest(
  "each end of a run is counted once, by the status it has in the ledger",
  async ({ sql }) => {
    await t.register(sql, "job", { max_attempts: 2, backoff_base_seconds: 1 });
    await runOnce(sql, "completed", t.NOON);
    assert.deepEqual(await counts(sql), { completed: 1 });

    // A failure, its retry, and the answer that is read long after the end.
    const failed = await runOnce(sql, "failed", t.after(1), true);
    await t.answer(sql, failed, { status: 202 }, t.after(1.1));
    assert.deepEqual(await counts(sql), { completed: 1, failed: 1, failed_in_row: 1 });
    await t.pulse(sql, t.after(1.5));
    const [retry] = await sql`select id from scheduler_runs where trigger = 'retry'`;
    await t.begin(sql, retry!.id, t.after(1.6));
    await t.heartbeat(sql, retry!.id, t.after(1.61));
    await t.finish(sql, retry!.id, "failed", t.after(1.7));
    assert.deepEqual(
      await counts(sql),
      { completed: 1, failed: 2, retries: 1, failed_in_row: 1 },
      "one occurrence",
    );

    // This one is never heard of again, and an operator ends the next.
    await t.dispatch(sql, "job", t.after(2));
    await sql`delete from net.http_request_queue`;
    await sql`update scheduler_jobs set next_run_at = ${t.after(60)} where name = 'job'`;
    await sql`update scheduler_runs set max_attempts = 1 where completed_at is null`;
    await t.pulse(sql, t.after(4));
    await t.dispatch(sql, "job", t.after(60));
    await sql`select scheduler.release_lock('job', 'test', 'ann', ${t.after(60.1)})`;
    assert.deepEqual(await counts(sql), {
      completed: 1,
      failed: 3,
      retries: 1,
      lost: 1,
      cancelled: 1,
      failed_in_row: 2,
    });

    const [ledger] = await sql`
    select count(*) filter (where status = 'completed')::int as completed,
      count(*) filter (where status = 'failed')::int as failed,
      count(*) filter (where status = 'cancelled')::int as cancelled from scheduler_runs`;
    assert.deepEqual({ ...ledger }, { completed: 1, failed: 3, cancelled: 1 });
    await sql`select scheduler.prune(${t.after(300 * 24 * 60)})`;
    assert.equal((await t.runs(sql, "job")).length, 0);
    assert.equal((await counts(sql)).failed, 3, "pruning the ledger lowers no counter");

    await sql`update scheduler_jobs set next_run_at = ${t.after(61)} where name = 'job'`;
    await runOnce(sql, "completed", t.after(61));
    const { failed_in_row, completed } = await counts(sql);
    assert.deepEqual([failed_in_row, completed], [undefined, 2], "a success ends the row");
  },
);

t.ledgerTest(
  "an outage is counted: missed occurrences, by the reason",
  async ({ sql }) => {
    await t.register(sql, "job", { misfire_policy: "skip" });
    await t.register(sql, "once", { misfire_policy: "once" });
    await t.register(sql, "all", {
      misfire_policy: "all",
      misfire_cap: 2,
      overlap_policy: "queue",
    });
    await t.pulse(sql, t.after(12));
    // Those of the last five minutes are in time; the newest of them runs, or, with the policy `all`, each of them.
    assert.deepEqual(await counts(sql), {
      missed: 12,
      left_out: { misfire_skip: 7, superseded: 5 },
      missed_in_row: 12,
    });
    assert.equal((await counts(sql, "once")).missed, 12);
    assert.deepEqual((await counts(sql, "once")).left_out, { misfire_once: 7, superseded: 5 });
    assert.deepEqual((await counts(sql, "all")).left_out, { misfire_all: 5 });
  },
);

t.ledgerTest(
  "skipped occurrences are counted by the kind of their reason, and are no failure",
  async ({ sql }) => {
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.after(0.5));
    await t.dispatch(sql, "job", t.after(1));
    await t.heartbeat(sql, id, t.after(1.4));
    await sql`select scheduler.pause('job', 'overlap: not what it looks like', 'ann', null, ${
      t.after(1.5)
    })`;
    await t.dispatch(sql, "job", t.after(2));
    assert.deepEqual(await counts(sql), { skipped: 2, left_out: { overlap: 1, paused: 1 } });
    await t.register(sql, "queue", { overlap_policy: "queue" });
    for (const second of [0, 10, 20, 30]) {
      await sql`update scheduler_jobs set next_run_at = ${
        t.after(second / 60)
      } where name = 'queue'`;
      await t.dispatch(sql, "queue", t.after(second / 60));
    }
    assert.deepEqual(await counts(sql, "queue"), { skipped: 2, left_out: { queue_full: 2 } });
  },
);

t.ledgerTest(
  "durations and fire lags fall into the bucket whose bound they do not exceed",
  async ({ sql }) => {
    await t.register(sql, "job", { misfire_grace_seconds: 86400, overlap_policy: "allow" });
    const lagBounds = [0, 100, 101, 5000, 3_600_001];
    for (const [index, lagMs] of lagBounds.entries()) {
      const due = t.after(600 * index);
      await sql`update scheduler_jobs set next_run_at = ${due}, schedule = '0 0 1 1 *' where name = 'job'`;
      const now = new Date(due.getTime() + lagMs);
      const id = (await t.dispatch(sql, "job", now))!;
      await t.begin(sql, id, now);
      // Durations: the lag's own milliseconds, so that both histograms see bounds and what is just above them.
      await t.finish(sql, id, "completed", new Date(now.getTime() + lagMs));
    }
    const counted = await counters(sql);
    assert.deepEqual(counted.fire_lag_counts, [2, 1, 0, 1, 0, 0, 0, 0, 1]);
    assert.deepEqual(counted.duration_counts, [2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    const sum = lagBounds.reduce((a, b) => a + b);
    assert.deepEqual([counted.fire_lag_sum_ms, counted.duration_sum_ms], [sum, sum]);
  },
);

t.ledgerTest(
  "calls by hand have no fire lag, and a success of theirs ends a row of failures",
  async ({ sql }) => {
    await t.register(sql, "job", { max_attempts: 1 });
    await runOnce(sql, "failed", t.NOON);
    const lags = (await counters(sql)).fire_lag_counts;
    const begun = await t.value(sql, "scheduler.begin_manual_run('job', null, '{}', '', $1)", [
      t.after(0.5),
    ]);
    await t.finish(sql, begun.run_id, "failed", t.after(0.6));
    assert.deepEqual(await counts(sql), { failed: 2, failed_in_row: 1 }, "a person saw that one");
    const id = await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(0.7)]);
    await t.begin(sql, id, t.after(0.7));
    await t.finish(sql, id, "completed", t.after(0.8));
    assert.deepEqual(await counts(sql), { failed: 2, completed: 1 });
    const { fire_lag_counts, last_success_at } = await counters(sql);
    assert.deepEqual(fire_lag_counts, lags);
    assert.equal(new Date(last_success_at as string).getTime(), t.after(0.8).getTime());
  },
);

t.ledgerTest(
  "counters go with their job; what it still had under way is not counted",
  async ({ sql }) => {
    await t.register(sql, "job");
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await sql`select scheduler.unregister_job('job')`;
    assert.deepEqual(await t.finish(sql, id, "completed", t.after(1)), { finished: true });
    const [left] = await sql`select count(*)::int as rows from scheduler.run_counters`;
    assert.equal(left!.rows, 0);
    await t.register(sql, "job");
    assert.deepEqual(await counters(sql), {});
  },
);

t.ledgerTest(
  "counting is a HOT update, and nothing that a living run reports calls it",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "allow" });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    const version = async () =>
      (await sql`select xmin::text, ctid::text from scheduler.run_counters`)[0];
    const before = await version();
    for (let beat = 0; beat < 3; beat++) await t.heartbeat(sql, id, t.after(0.1 * beat));
    await t.answer(sql, id, { status: 202 }, t.after(0.2));
    await t.pulse(sql, t.after(0.3));
    assert.deepEqual(await version(), before);
    await t.finish(sql, id, "completed", t.after(0.5));
    for (let minute = 1; minute <= 40; minute++) await runOnce(sql, "completed", t.after(minute));
    await sql`select pg_stat_force_next_flush()`;
    const [stat] = await sql`
    select n_tup_upd::int as updates, n_tup_hot_upd::int as hot from pg_stat_user_tables
    where relname = 'run_counters'`;
    assert.ok(stat!.updates >= 41, `${stat!.updates} updates`);
    // A page that is full is tidied up by the next update. While others connect, that may have to wait: one in nine is none.
    assert.ok(stat!.hot >= 0.85 * stat!.updates, `${stat!.hot} of ${stat!.updates} are HOT`);
  },
);

t.ledgerTest("a transaction that ends a run holds up the runs of its own job alone", async (db) => {
  await t.register(db.sql, "job", { overlap_policy: "allow" });
  await t.register(db.sql, "other");
  const [mine, others] = [await t.start(db.sql, "job"), await t.start(db.sql, "other")];
  await t.begin(db.sql, mine, t.NOON);
  await t.begin(db.sql, others, t.NOON, "other");
  const open = await db.sql.reserve();
  await open`begin`;
  await t.finish(open, mine, "completed", t.after(0.5));
  const other = t.impatient(db);
  assert.deepEqual(await t.finish(other, others, "completed", t.after(0.5)), { finished: true });
  assert.equal((await t.pulse(other, t.after(0.6))).beat, true, "and the pulse does not wait");
  await other`select public.prometheus_metrics()`;
  await open`commit`;
  open.release();
  assert.deepEqual([await counts(db.sql), await counts(db.sql, "other")], [{ completed: 1 }, {
    completed: 1,
  }]);
});

t.ledgerTest("every skip_kind has its sentence, and no other", async ({ sql }) => {
  const [check] = await sql`
    select pg_get_constraintdef(oid) as definition from pg_constraint
    where conrelid = 'scheduler_runs'::regclass and pg_get_constraintdef(oid) like '%skip_kind%misfire%'`;
  const kinds = [...check!.definition.matchAll(/'([a-z_]+)'/g)].map((match) => match[1]);
  assert.equal(kinds.length, 12);
  await sql`select scheduler.register_group('core')`;
  await t.register(sql, "job", { group_name: "core" });
  await sql`select scheduler.pause_group('core', 'moving house', 'Ada')`;
  await sql`select scheduler.start_incident('all is moved', 'Ada')`;
  await sql`select scheduler.pause('job', 'moving', 'Ada')`;
  for (const kind of kinds) {
    const text = await t.value(
      sql,
      "scheduler.skip_text((select j from scheduler_jobs as j), $1, 'what it says')",
      [kind],
    );
    assert.ok(text.length > 10, kind);
  }
  const unknown = "scheduler.skip_text((select j from scheduler_jobs as j), 'whatever')";
  assert.equal(await t.value(sql, unknown), null);
});
