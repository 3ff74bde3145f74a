import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const retry = "scheduler.retry_run($1, $2, $3)";

/** Dispatches the occurrence of noon and ends its run. */
async function ended(sql: Sql, outcome: string, retryable = false): Promise<string> {
  const id = (await t.dispatch(sql, "job"))!;
  await t.begin(sql, id, t.NOON);
  await t.finish(sql, id, outcome, t.NOON, retryable);
  return id;
}

t.ledgerTest(
  "retry_run makes a new attempt of a failed run, with its payload, sends it at once and says who asked",
  async ({ sql }) => {
    await t.register(sql, "job", { payload: { a: 1 }, max_attempts: 1 });
    const id = await ended(sql, "failed");
    await t.value(sql, "scheduler.register_job('job', '* * * * *', payload => '{\"a\": 2}')");
    const again = await t.value(sql, retry, [id, " Ada ", t.after(5)]);
    const row = await t.run(sql, again);
    assert.deepEqual(
      [row.status, row.trigger, row.attempt, row.max_attempts, row.scheduled_for, row.payload],
      ["dispatched", "retry", 2, 2, t.NOON, { a: 1 }],
    );
    const [line] =
      await sql`select severity, message from scheduler_activity where message like '%Ada%'`;
    assert.deepEqual(line, {
      severity: "info",
      message: "attempt 2 of the run for 2026-03-02 12:00 UTC, which failed, was asked for by Ada",
    });
    await t.begin(sql, again, t.after(5));
    await t.finish(sql, again, "failed", t.after(6));
    assert.deepEqual(await t.summary(sql, "job"), [
      "failed cron 1 job_error",
      "failed retry 2 job_error",
    ]);
    await t.value(sql, retry, [id, "Ada", t.after(7)]);
    assert.equal(
      (await t.summary(sql, "job"))[2],
      "dispatched retry 3",
      "of whichever attempt it was asked",
    );
    await t.assertInvariants(sql);
  },
);

t.ledgerTest(
  "retry_run retries what was missed, skipped or cancelled, and attempts that are left stay",
  async ({ sql }) => {
    await t.register(sql, "job", {
      schedule: "0 12 * * *",
      misfire_policy: "skip",
      max_attempts: 3,
    });
    await t.pulse(sql, t.after(60));
    await sql`select scheduler.pause('job', 'r', 'a', null, ${t.after(60)})`;
    await t.dispatch(sql, "job", t.after(24 * 60));
    assert.deepEqual(await t.summary(sql, "job"), ["missed cron 1", "skipped cron 1"]);
    const [missed, skipped] = await t.runs(sql, "job");

    const first = await t.value(sql, retry, [missed!.id, "Ada", t.after(25 * 60)]);
    assert.equal(
      (await t.run(sql, first)).status,
      "dispatched",
      "also of a paused job, as run_now",
    );
    await t.begin(sql, first, t.after(25 * 60));
    await t.finish(sql, first, "failed", t.after(25 * 60));
    assert.deepEqual((await t.summary(sql, "job")).slice(0, 3), [
      "missed cron 1",
      "failed retry 2 job_error",
      "queued retry 3",
    ]);
    const third = (await t.runs(sql, "job"))[2]!.id;
    await t.value(sql, "scheduler.cancel_run($1, 'r', 'a', $2)", [third, t.after(25 * 60)]);
    const fourth = await t.value(sql, retry, [third, "Ada", t.after(26 * 60)]);
    assert.equal((await t.run(sql, fourth)).attempt, 4);

    // Another run is at work: it waits for the lock, as retries do.
    const waits = await t.value(sql, retry, [skipped!.id, "Ada", t.after(26 * 60)]);
    assert.equal((await t.run(sql, waits)).status, "queued");
    await t.assertInvariants(sql);
  },
);

t.ledgerTest(
  "retry_run is refused while an attempt is alive and after one that completed, and names it",
  async ({ sql }) => {
    await t.register(sql, "job", { schedule: "0 12 * * *", max_attempts: 2 });
    const id = await ended(sql, "failed", true);
    const refused = async (run: string) => {
      const error = await refusal(t.value(sql, retry, [run, "Ada", t.after(1)]));
      return [error.code, error.message];
    };
    const second = (await t.runs(sql, "job"))[1]!.id;
    assert.deepEqual(await refused(id), [
      "SD101",
      `cannot retry run ${id}: attempt 2 of it is queued, run ${second}`,
    ]);
    assert.deepEqual(await refused(second), [
      "SD101",
      `cannot retry run ${second}: it is not over, it is queued`,
    ]);
    await t.pulse(sql, t.after(30));
    await t.begin(sql, second, t.after(30));
    await t.finish(sql, second, "completed", t.after(30));
    assert.deepEqual(await refused(id), [
      "SD201",
      `cannot retry run ${id}: attempt 2 of it has completed, run ${second}`,
    ]);
    const error = await refusal(t.value(sql, retry, [second, "Ada", t.after(31)]));
    assert.deepEqual([error.code, error.message], [
      "SD201",
      `cannot retry run ${second}: it has completed`,
    ]);
    assert.match(error.hint!, /scheduler\.run_now\('job', 'who'\)/);
  },
);

t.ledgerTest("one of many concurrent retries of a run gets through", async (db) => {
  await t.register(db.sql, "job", { max_attempts: 1 });
  const id = await ended(db.sql, "failed");
  const connections = Array.from({ length: 8 }, () => db.connect());
  const outcomes = await Promise.allSettled(
    connections.map((connection) => t.value(connection, retry, [id, "Ada", t.after(1)])),
  );
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  assert.deepEqual(await t.summary(db.sql, "job"), [
    "failed cron 1 job_error",
    "dispatched retry 2",
  ]);
});

t.ledgerTest(
  "retry_run of a person's call goes out with the payload of that call",
  async ({ sql }) => {
    await t.register(sql, "job", { payload: { a: 1 } });
    const begun = await t.value(
      sql,
      "scheduler.begin_manual_run('job', null, '{\"a\": 9}', 'me', $1)",
      [t.NOON],
    );
    await t.finish(sql, begun.run_id, "failed", t.after(1));
    const again = await t.value(sql, retry, [begun.run_id, "Ada", t.after(2)]);
    assert.deepEqual((await t.run(sql, again)).payload, { a: 9 });
    assert.deepEqual((await t.requests(sql))[0]!.body, { a: 9 });
  },
);

t.ledgerTest("retry_run of a disabled job goes out at once, or not at all", async ({ sql }) => {
  await t.register(sql, "job", { max_attempts: 1 });
  const id = await ended(sql, "failed");
  await t.value(sql, "scheduler.register_job('job', '* * * * *', enabled => false)");
  const again = await t.value(sql, retry, [id, "Ada", t.after(1)]);
  assert.equal((await t.run(sql, again)).status, "dispatched");
  await t.begin(sql, again, t.after(1));
  await t.finish(sql, again, "failed", t.after(1));
  await t.value(sql, "scheduler.run_now('job', 'ann', null, $1)", [t.after(2)]);
  const error = await refusal(t.value(sql, retry, [id, "Ada", t.after(2)]));
  assert.equal(error.code, "SD101");
  assert.match(error.message, /job is disabled, so the retry cannot wait/);
});

t.ledgerTest("retry_run needs a run, an author and a job that is registered", async ({ sql }) => {
  await t.register(sql, "job");
  const id = await ended(sql, "failed");
  const refused = async (...args: unknown[]) => {
    const error = await refusal(t.value(sql, retry, [...args, t.after(1)]));
    return `${error.code} ${error.message}`;
  };
  assert.equal(await refused(null, "a"), "SD002 there is no run null");
  for (const missing of ["", "\t", null]) {
    assert.equal(await refused(id, missing), `22023 cannot retry run ${id}: author must be given`);
  }
  await sql`select scheduler.unregister_job('job')`;
  assert.equal(await refused(id, "a"), "SD001 there is no job named 'job'");
});
