import assert from "node:assert/strict";
import * as t from "../support/scheduler.ts";

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

t.ledgerTest(
  "the entries of one minute, started at once, leave in one transaction",
  async (db) => {
    const names = Array.from({ length: 12 }, (_, index) => `job-${index}`);
    for (const name of names) {
      await t.register(db.sql, name, { overlap_policy: "allow", max_attempts: 1 });
    }
    const connections = names.map(() => db.connect());
    await Promise.all(connections.map((connection) => connection`select 1`));
    for (let minute = 0; minute < 5; minute++) {
      await Promise.all(
        names.map((name, index) => t.dispatch(connections[index]!, name, t.after(minute))),
      );
    }
    const minutes = await db.sql`
      select count(*)::int as runs, count(distinct created_at)::int as transactions
      from scheduler_runs group by scheduled_for order by scheduled_for`;
    assert.deepEqual([...minutes], Array(5).fill({ runs: 12, transactions: 1 }));
  },
);

t.ledgerTest(
  "a dispatch whose job somebody holds keeps no other job waiting, and starts its own in the end",
  async (db) => {
    for (const name of ["held", "free"]) await t.register(db.sql, name);
    const waiting = db.connect();
    const [backend] = await waiting`select pg_backend_pid() as pid`;
    const other = t.impatient(db);
    let dispatched: Promise<string | null>;
    await db.sql.begin(async (transaction) => {
      await transaction`select from scheduler_jobs where name = 'held' for update`;
      dispatched = t.dispatch(waiting, "held");
      await t.untilBlocked(other, backend!.pid);
      assert.ok(await t.dispatch(other, "free"));
    });
    assert.ok(await dispatched!);
    assert.deepEqual(await t.summary(db.sql, "held"), ["dispatched cron 1"]);
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

t.ledgerTest("of two pulses at once the second does nothing", async (db) => {
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
