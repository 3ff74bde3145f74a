// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("a finish for a run that is over is refused and changes nothing", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "allow" });
  const over: string[] = [];
  for (const outcome of ["completed", "failed", "timed_out", "interrupted"]) {
    const id = (await t.dispatch(sql, "job", t.after(over.length)))!;
    await t.begin(sql, id, t.after(over.length));
    assert.deepEqual(await t.finish(sql, id, outcome, t.after(over.length + 1)), {
      finished: true,
    });
    over.push(id);
  }
  const everything = async () => ({
    runs: [...await sql`select xmin, r.* from scheduler_runs as r order by id`],
    locks: [...await sql`select xmin, * from scheduler_locks`],
  });
  const before = await everything();
  for (const id of over) {
    for (const outcome of ["completed", "failed"]) {
      const answer = await t.finish(sql, id, outcome, t.after(60));
      assert.equal(answer.finished, false);
      assert.match(answer.reason, /^already over: /);
    }
    assert.equal((await t.heartbeat(sql, id, t.after(60))).running, false);
  }
  assert.deepEqual(await everything(), before);
});

t.ledgerTest("a finish for a run that has not begun is refused", async ({ sql }) => {
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  assert.deepEqual(await t.finish(sql, id, "completed", t.NOON), {
    finished: false,
    reason: "not begun",
  });
  assert.deepEqual(await t.finish(sql, crypto.randomUUID(), "completed", t.NOON), {
    finished: false,
    reason: "unknown run",
  });
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
});

t.ledgerTest("20 finishes of one run at once: one counts, one retry is planned", async (db) => {
  await t.register(db.sql, "job");
  const id = (await t.dispatch(db.sql, "job"))!;
  await t.begin(db.sql, id, t.NOON);
  const connections = Array.from({ length: 20 }, () => db.connect());
  await Promise.all(connections.map((connection) => connection`select 1`));
  const answers = await Promise.all(
    connections.map((connection) => t.finish(connection, id, "failed", t.after(1))),
  );
  assert.equal(answers.filter((answer) => answer.finished).length, 1);
  assert.deepEqual(await t.summary(db.sql, "job"), ["failed cron 1 job_error", "queued retry 2"]);
});

t.ledgerTest(
  "finish keeps the result, the error and the duration, and frees the lock",
  async ({ sql }) => {
    await t.register(sql, "job", { max_attempts: 1 });
    const id = (await t.dispatch(sql, "job"))!;
    await t.begin(sql, id, t.NOON);
    await t.finish(sql, id, "failed", t.after(1.5));
    const row = await t.run(sql, id);
    assert.deepEqual(row.result, { seen: 1 });
    assert.equal(row.error_message, "it broke");
    assert.equal(row.duration_ms, 90_000);
    assert.deepEqual([...await sql`select * from scheduler_locks`], []);
  },
);

t.ledgerTest("a run of years does not overflow its duration", async ({ sql }) => {
  await t.register(sql, "job");
  const id = (await t.dispatch(sql, "job"))!;
  await t.begin(sql, id, t.NOON);
  await t.finish(sql, id, "completed", new Date("2126-03-02T12:00:00Z"));
  assert.equal((await t.run(sql, id)).duration_ms, 2147483647);
});

t.ledgerTest("an unknown outcome is refused by name", async ({ sql }) => {
  for (const outcome of ["done", "ok", "", null]) {
    const error = await refusal(
      t.value(sql, "scheduler.finish_run($1, $2)", [crypto.randomUUID(), outcome]),
    );
    assert.equal(error.code, "22023");
    assert.match(
      error.message,
      /outcome must be completed, failed, deferred, timed_out or interrupted/,
    );
  }
});

t.ledgerTest(
  "who depends on a run that was deferred while its job was disabled does not wait for a continuation",
  async ({ sql }) => {
    const daily = { schedule: "0 12 * * *", target: "job" };
    await t.register(sql, "root", daily);
    const id = (await t.dispatch(sql, "root"))!;
    await t.begin(sql, id, t.NOON);
    await t.register(sql, "root", { ...daily, enabled: false }, t.after(24 * 60));
    await sql`select scheduler.finish_run(${id}, 'deferred', p_resume_at => ${
      t.after(5)
    }, p_now => ${t.after(1)})`;
    assert.deepEqual(await t.summary(sql, "root"), ["deferred cron 1"]);
    await t.register(sql, "root", daily, t.after(24 * 60));
    await t.register(sql, "leaf", { schedule: "2 12 * * *", depends_on: ["root"] }, t.after(2));
    await t.pulse(sql, t.after(2));
    const [leaf] = await t.runs(sql, "leaf");
    assert.equal(leaf!.skip_reason, "dependency: root was cancelled");
  },
);
