import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";
import { waitUntil } from "../../support/wait-until.ts";

const at = (minutes: number) => t.after(minutes);

async function set(sql: Sql, key: string, value: number | null): Promise<void> {
  await sql`update scheduler_settings set value = ${
    JSON.stringify(value)
  }::text::jsonb where key = ${`scheduler.busy_${key}`}`;
}

/** Other tests use the same server: their connections are not what is looked at here. */
const leaveConnections = (sql: Sql) =>
  sql`update scheduler_settings set value = 'null' where key = 'scheduler.busy_connections_percent'`;

const because = (sql: Sql, now: Date = t.NOON): Promise<string | null> =>
  t.value(sql, "scheduler.busy_because($1)", [now]);

/** So many requests in pg_net's queue. */
const queue = (sql: Sql, requests: number) =>
  sql`select net.http_post('https://a.test/', '{}'::jsonb) from generate_series(1, ${requests})`;

/** active, of connections, requests, late runs; the bounds of each; what is said. */
const cases: [
  number,
  number,
  number,
  number,
  number | null,
  number | null,
  number | null,
  string | null,
][] = [
  [0, 60, 0, 0, 70, 200, 20, null],
  [41, 60, 199, 19, 70, 200, 20, null],
  [42, 60, 0, 0, 70, 200, 20, "42 of 60 connections are active"],
  [45, 60, 500, 90, 70, 200, 20, "45 of 60 connections are active"],
  [60, 60, 0, 0, null, 200, 20, null],
  [60, 60, 200, 0, null, 200, 20, "200 requests wait in pg_net's queue"],
  [0, 60, 1, 0, 70, 1, 20, "1 request waits in pg_net's queue"],
  [0, 60, 500, 20, 70, null, 20, "20 runs are late"],
  [0, 60, 0, 1, 70, 200, 1, "1 run is late"],
  [60, 60, 999, 999, null, null, null, null],
  [60, 60, 0, 0, 100, 200, 20, "60 of 60 connections are active"],
  [59, 60, 0, 0, 100, 200, 20, null],
  [0, 60, 0, 0, 1, 200, 20, null],
];

t.ledgerTest("the load is a reason by the first bound that it reaches", async ({ sql }) => {
  for (const [...inputs] of cases) {
    const expected = inputs.pop();
    const told = await t.value(
      sql,
      "scheduler.load_reason(($1, $2, $3, $4)::scheduler.load, $5, $6, $7)",
      inputs,
    );
    assert.equal(told, expected, JSON.stringify(inputs));
  }
});

t.ledgerTest("connections that execute a statement are counted, others are not", async (db) => {
  const most = await t.value(db.sql, "(scheduler.load_now(now())).connections");
  assert.equal(most, Number((await db.sql`show max_connections`)[0]!.max_connections));
  const pid = async (sql: Sql): Promise<number> =>
    (await sql`select pg_backend_pid() as pid`)[0]!.pid;
  const lock = db.connect();
  await lock`select pg_advisory_lock(1)`;
  const idle = [db.connect(), lock];
  const inTransaction = db.connect();
  await inTransaction`begin`;
  const others = [...await Promise.all(idle.map(pid)), await pid(inTransaction)];
  const waiting = Array.from({ length: 3 }, () => db.connect());
  const working = await Promise.all(waiting.map(pid));
  const works = waiting.map((sql) =>
    sql`select pg_advisory_lock(1), pg_advisory_unlock(1)`.execute()
  );
  const seen = () =>
    db.sql.begin(async (transaction) => {
      // A transaction looks at one picture of all sessions: tests beside this one use the same server.
      const load = await t.value(transaction, "(scheduler.load_now(now())).active");
      const rows = await transaction`
        select pid, state, backend_type, pid = pg_backend_pid() as is_own from pg_stat_activity`;
      return { load, rows: [...rows] };
    });
  const isActive = (row: Row) => row.state === "active" && row.backend_type === "client backend";
  await waitUntil("three connections are at work", async () => {
    const { rows } = await seen();
    return working.every((pid) => rows.some((row) => row.pid === pid && isActive(row))) &&
      others.every((pid) => rows.some((row) => row.pid === pid && !isActive(row)));
  });
  const { load, rows } = await seen();
  const active = rows.filter((row) => isActive(row) && !row.is_own).map((row) => row.pid);
  assert.deepEqual(working.filter((pid) => !active.includes(pid)), []);
  assert.deepEqual(others.filter((pid) => active.includes(pid)), []);
  assert.ok(rows.some((row) => row.is_own && isActive(row)), "it does not count itself");
  assert.equal(load, active.length);
  await lock`select pg_advisory_unlock(1)`;
  await inTransaction`rollback`;
  await Promise.all(works);
});

t.ledgerTest("requests in pg_net's queue make it busy", async ({ sql }) => {
  await leaveConnections(sql);
  assert.equal(await because(sql), null);
  await queue(sql, 199);
  assert.equal(await because(sql), null);
  await queue(sql, 1);
  assert.equal(await because(sql), "200 requests wait in pg_net's queue");
  await set(sql, "requests", 201);
  assert.equal(await because(sql), null);
});

t.ledgerTest(
  "late are runs that have not begun and occurrences without a row, and not what waits",
  async ({ sql }) => {
    await leaveConnections(sql);
    await set(sql, "late_runs", 1);
    await t.register(sql, "job", { overlap_policy: "allow", parallel_limit: 1 });
    await t.dispatch(sql, "job", at(0));
    await t.dispatch(sql, "job", at(0.5));
    await sql`update scheduler_jobs set next_run_at = ${at(1)}`;
    await t.dispatch(sql, "job", at(1));
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1", "queued cron 1"]);
    await sql`update scheduler_jobs set next_run_at = ${at(10)}`;
    assert.equal(await because(sql, at(0.5)), null);
    assert.equal(await because(sql, at(0.51)), "1 run is late");
    const [run] = await t.runs(sql, "job");
    await t.begin(sql, run!.id, at(0.6));
    assert.equal(await because(sql, at(5)), null, "the one that waits for the limit is not late");
    assert.equal(await because(sql, at(11)), null);
    assert.equal(await because(sql, at(11.01)), "1 run is late");
  },
);

t.ledgerTest("is_busy looks once a transaction", async ({ sql }) => {
  await leaveConnections(sql);
  await set(sql, "requests", 1);
  const busy = (query: Pick<Sql, "unsafe">, now: Date): Promise<boolean> =>
    t.value(query, "scheduler.is_busy($1)", [now]);
  await sql.begin(async (transaction) => {
    assert.equal(await busy(transaction, at(0)), false);
    await queue(transaction as unknown as Sql, 1);
    assert.equal(await busy(transaction, at(0)), false);
    assert.equal(await busy(transaction, at(1)), true, "of another moment it is asked anew");
    assert.equal(await busy(transaction, at(1)), true);
  });
  assert.equal(await busy(sql, at(0)), true);
  assert.equal(await t.value(sql, "scheduler.is_busy()"), true);
});

t.ledgerTest("a pulse over 100 jobs that ask looks once", async ({ sql }) => {
  await leaveConnections(sql);
  await set(sql, "requests", 1);
  for (let job = 0; job < 100; job++) {
    await t.register(sql, `job-${job}`, {
      defer_if: "scheduler.is_busy",
      schedule: "0 12 * * *",
      target: "job",
    });
  }
  await t.pulse(sql, at(0));
  const [row] =
    await sql`select count(*)::int as runs from scheduler_runs where status = 'dispatched'`;
  // Their own requests would have made it busy after the first.
  assert.equal(row!.runs, 100);
});

t.ledgerTest("jobs yield to load and say which, and go when it is over", async ({ sql }) => {
  await leaveConnections(sql);
  await queue(sql, 250);
  await t.register(sql, "job", { defer_if: "scheduler.is_busy", schedule: "0 12 * * *" });
  await t.register(sql, "other", { schedule: "0 12 * * *", target: "job" });
  await t.dispatch(sql, "job");
  assert.deepEqual(await t.summary(sql, "other"), ["dispatched cron 1"]);
  assert.equal(
    await t.value(sql, "scheduler.explain('job', null, $1)", [at(1)]),
    "job has not run for 2026-03-02 12:00 UTC yet: attempt 1 of 3 waits until 12:15:00 at the latest, " +
      "put off by scheduler.is_busy: 251 requests wait in pg_net's queue.",
  );
  await sql`delete from net.http_request_queue`;
  assert.match(
    await t.value(sql, "scheduler.explain('job', null, $1)", [at(1)]),
    /put off by scheduler\.is_busy\.$/,
  );
  await t.pulse(sql, at(1));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
});

t.ledgerTest("a scrape shows whether it is busy", async ({ sql }) => {
  const value = async () =>
    (await t.value(sql, "scheduler.load_metrics($1)", [at(0)]))[0].series[0].values[0];
  await leaveConnections(sql);
  assert.equal(await value(), 0);
  await queue(sql, 200);
  assert.equal(await value(), 1);
});

t.ledgerTest("wrong bounds are refused, and null is one: it is not looked at", async ({ sql }) => {
  for (
    const [key, value] of [["connections_percent", 101], ["requests", 0], ["late_runs", 0]] as const
  ) {
    assert.equal((await refusal(set(sql, key, value))).code, "22023");
    await set(sql, key, null);
  }
  await queue(sql, 1000);
  assert.equal(await because(sql), null);
});
