import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("enqueued runs go out at once, and in their order as others end", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "allow", parallel_limit: 2 }, t.after(600));
  const payloads = [1, 2, 3, 4, 5].map((n) => ({ n }));
  assert.equal(
    await t.value(sql, "scheduler.enqueue_runs('job', $1::jsonb, null, $2)", [payloads, t.NOON]),
    5,
  );
  const states = async () =>
    (await t.runs(sql, "job")).map((row) => `${row.payload.n} ${row.status}`);
  assert.deepEqual(await states(), [
    "1 dispatched",
    "2 dispatched",
    "3 queued",
    "4 queued",
    "5 queued",
  ]);

  const rows = await t.runs(sql, "job");
  await t.begin(sql, rows[0]!.id, t.after(1));
  await t.finish(sql, rows[0]!.id, "completed", t.after(2));
  assert.deepEqual((await states()).slice(0, 4), [
    "1 completed",
    "2 dispatched",
    "3 dispatched",
    "4 queued",
  ]);
  await t.assertInvariants(sql);
});

t.ledgerTest("what is enqueued at the same moment twice is enqueued twice", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "allow" }, t.after(600));
  for (let i = 0; i < 2; i++) {
    await t.value(sql, "scheduler.enqueue_runs('job', '[{}, {}]', null, $1)", [t.NOON]);
  }
  const rows = await t.runs(sql, "job");
  assert.equal(rows.length, 4);
  assert.deepEqual(rows.map((row) => row.trigger), Array(4).fill("enqueued"));
});

t.ledgerTest("an enqueued run that fails is tried again like any other", async ({ sql }) => {
  await t.register(
    sql,
    "job",
    { max_attempts: 2, backoff_base_seconds: 1, backoff_cap_seconds: 1 },
    t.after(600),
  );
  await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [t.NOON]);
  const [row] = await t.runs(sql, "job");
  await t.begin(sql, row!.id, t.after(1));
  await t.finish(sql, row!.id, "failed", t.after(2));
  await t.pulse(sql, t.after(3));
  assert.deepEqual(await t.summary(sql, "job"), [
    "failed enqueued 1 job_error",
    "dispatched retry 2",
  ]);
});

t.ledgerTest("an enqueued run waits for its time", async ({ sql }) => {
  await t.register(sql, "job", {}, t.after(600));
  await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', $1, $2)", [t.after(5), t.NOON]);
  await t.pulse(sql, t.after(4));
  assert.deepEqual(await t.summary(sql, "job"), ["queued enqueued 1"]);
  await t.pulse(sql, t.after(5));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched enqueued 1"]);
});

t.ledgerTest(
  "enqueue_runs() refuses an unknown job and payloads that are no array of objects",
  async ({ sql }) => {
    await t.register(sql, "job");
    for (const payloads of ["{}", "[1]", "null", '["a"]']) {
      const error = await refusal(
        sql`select scheduler.enqueue_runs('job', ${payloads}::text::jsonb)`,
      );
      assert.equal(error.code, "22023", payloads);
      assert.match(error.message, /payloads must be a JSON array of objects, got/);
    }
    for (const at of ["infinity", "-infinity"]) {
      const error = await refusal(
        sql.unsafe(`select scheduler.enqueue_runs('job', '[{}]', '${at}')`),
      );
      assert.equal(error.code, "22023");
      assert.equal(
        error.message,
        `cannot enqueue runs of job: run_after must be a moment or null, got ${at}`,
      );
    }
    assert.deepEqual(await t.runs(sql, "job"), []);
    const error = await refusal(sql`select scheduler.enqueue_runs('nobody', '[]')`);
    assert.deepEqual([error.code, error.message], ["SD001", "there is no job named 'nobody'"]);
  },
);
