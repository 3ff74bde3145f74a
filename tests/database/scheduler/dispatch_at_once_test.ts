// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type { TestDatabase } from "../../support/database.ts";
import { timeoutsFire } from "../../support/moments.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest(
  "100 dispatches of one occurrence at once make one run and one request",
  async (db) => {
    await t.register(db.sql, "job");
    const connections = Array.from({ length: 100 }, () => db.connect());
    await Promise.all(connections.map((connection) => connection`select 1`));
    const ids = await Promise.all(connections.map((connection) => t.dispatch(connection, "job")));
    assert.equal(ids.filter((id) => id !== null).length, 1);
    assert.deepEqual(await t.summary(db.sql, "job"), ["dispatched cron 1"]);
    assert.equal((await t.requests(db.sql)).length, 1);
  },
);

t.ledgerTest("dispatches and pulses at once start each occurrence once", async (db) => {
  const names = ["a", "b", "c"];
  for (const name of names) {
    await t.register(db.sql, name, { overlap_policy: "allow", max_attempts: 1 });
  }
  const connections = Array.from({ length: 12 }, () => db.connect());
  await Promise.all(connections.map((connection) => connection`select 1`));
  // Two minutes late, so that the pulse may take them as well as pg_cron.
  await Promise.all(
    connections.map((connection, index) =>
      index < 4
        ? t.pulse(connection, t.after(2))
        : t.dispatch(connection, names[index % 3]!, t.after(2))
    ),
  );
  for (const name of names) {
    const rows = await t.runs(db.sql, name);
    assert.deepEqual(rows.map((row) => row.scheduled_for), [t.NOON, t.after(1), t.after(2)]);
    assert.ok(rows.every((row) => row.status === "dispatched"));
  }
  assert.equal((await t.requests(db.sql)).length, 9);
});

t.ledgerTest("the second of two concurrent pulses does nothing", async (db) => {
  await t.register(db.sql, "job");
  const other = t.impatient(db);
  await db.sql.begin(async (transaction) => {
    assert.equal((await t.pulse(transaction, t.after(2))).beat, true);
    assert.deepEqual(await t.pulse(other, t.after(2)), {
      beat: false,
      reason: "another pulse is at work",
    });
  });
  assert.equal((await t.requests(db.sql)).length, 1);
});

t.ledgerTest(
  "one of twenty entries that start together dispatches all their jobs",
  async (db) => {
    const names = await registerTwenty(db.sql);
    const entries = await Promise.all(names.map(() => connect(db)));
    const everybodyWaits = await db.sql.reserve();
    await everybodyWaits`begin`;
    await everybodyWaits`lock table scheduler_jobs in access exclusive mode`;
    const ids = entries.map(({ connection }, index) => t.dispatch(connection, names[index]!));
    for (const { pid } of entries) await t.untilBlocked(db.sql, pid);
    await everybodyWaits`commit`;
    everybodyWaits.release();
    assert.equal((await Promise.all(ids)).filter((id) => id !== null).length, 1);
    assert.equal((await t.requests(db.sql)).length, 20);
  },
);

t.ledgerTest(
  "more jobs than one transaction takes are dispatched by several entries, one after another",
  async (db) => {
    await db.sql`
    select scheduler.register_job(format('job-%s', 1000 + place), '* * * * *') from generate_series(1, 260) as place`;
    await db
      .sql`update scheduler_jobs set next_run_at = ${t.NOON}, created_at = ${t.NOON}::timestamptz - interval '1 year'`;
    // On a busy machine the first one may take longer than the five seconds for which the others wait.
    await db.sql`alter function scheduler.lead_dispatch set lock_timeout = '60s'`;
    const entries = Array.from({ length: 32 }, (_, index) => `job-${1229 + index}`);
    const connections = db.connect("postgres", { max: 32 });
    await Promise.all(entries.map((entry) => t.dispatch(connections, entry)));
    assert.equal((await t.requests(db.sql)).length, 260);
  },
);

t.ledgerTest("an entry whose job somebody holds waits for it alone", async (db) => {
  const [held, ...others] = await registerTwenty(db.sql);
  const person = await db.sql.reserve();
  await person`begin`;
  await person`select from scheduler_jobs where name = ${held!} for no key update`;
  const { connection, pid } = await connect(db);
  const waiting = t.dispatch(connection, held!);
  await t.untilBlocked(db.sql, pid);
  const other = t.impatient(db);
  for (const name of others) await t.dispatch(other, name);
  assert.equal((await t.requests(db.sql)).length, 19);
  assert.equal(
    (await other`select from pg_stat_activity where pid = ${pid} and state = 'active'`).length,
    1,
  );
  await person`commit`;
  person.release();
  assert.ok(await waiting);
  assert.equal((await t.requests(db.sql)).length, 20);
});

t.ledgerTest(
  "a transaction that dispatched and stays open holds up no other dispatch for long",
  async (db) => {
    await t.register(db.sql, "first");
    await t.register(db.sql, "second", {}, t.after(2));
    await db.sql`alter function scheduler.lead_dispatch set lock_timeout = '50ms'`;
    const open = await db.sql.reserve();
    await t.dispatch(db.sql, "first");
    await open`begin`;
    assert.ok(await t.dispatch(open, "first", t.after(1)));
    assert.ok(await t.dispatch(t.impatient(db), "second", t.after(2)));
    await open`commit`;
    open.release();
    assert.deepEqual(await t.summary(db.sql, "second"), ["dispatched cron 1"]);
  },
  { ignore: !timeoutsFire },
);

async function registerTwenty(sql: Sql): Promise<string[]> {
  const names = Array.from({ length: 20 }, (_, index) => `job-${index}`);
  for (const name of names) await t.register(sql, name);
  return names;
}

async function connect(db: TestDatabase): Promise<{ connection: Sql; pid: number }> {
  const connection = t.impatient(db);
  const [row] = await connection<{ pid: number }[]>`select pg_backend_pid() as pid`;
  return { connection, pid: row!.pid };
}
