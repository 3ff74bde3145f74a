import assert from "node:assert/strict";
import { refusal } from "../../support/refusal.ts";
import { rowsRead } from "../../support/rows-read.ts";
import * as t from "../../support/scheduler.ts";

t.ledgerTest("enqueued runs go out at once, and in their order as others end", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "allow", parallel_limit: 2 }, t.after(600));
  const list = [1, 2, 3, 4, 5].map((n) => ({ payload: { n } }));
  assert.equal(
    await t.value(sql, "scheduler.enqueue_runs('job', $1::jsonb, null, $2)", [list, t.NOON]),
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

t.ledgerTest(
  "runs that are enqueued twice at the same moment are enqueued twice",
  async ({ sql }) => {
    await t.register(sql, "job", { overlap_policy: "allow" }, t.after(600));
    for (let i = 0; i < 2; i++) {
      await t.value(sql, "scheduler.enqueue_runs('job', '[{}, {}]', null, $1)", [t.NOON]);
    }
    const rows = await t.runs(sql, "job");
    assert.equal(rows.length, 4);
    assert.deepEqual(rows.map((row) => row.trigger), Array(4).fill("enqueued"));
  },
);

t.ledgerTest(
  "an enqueued run ends as its job's runs end: here with the answer",
  async ({ sql }) => {
    await t.register(sql, "job", { receipt: "response" }, t.after(600));
    await t.value(sql, "scheduler.enqueue_runs('job', '[{}]', null, $1)", [t.NOON]);
    assert.deepEqual((await t.runs(sql, "job")).map((row) => row.receipt), ["response"]);
  },
);

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

t.ledgerTest("a run without a payload has the one of its job", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "allow", payload: { own: true } }, t.after(600));
  const list = [{}, { payload: null }, { payload: {} }, { payload: { own: false } }];
  await t.value(sql, "scheduler.enqueue_runs('job', $1::jsonb, null, $2)", [list, t.NOON]);
  assert.deepEqual((await t.runs(sql, "job")).map((row) => row.payload), [
    { own: true },
    { own: true },
    {},
    { own: false },
  ]);
});

t.ledgerTest("a run keeps its key in each retry, also in one by hand", async ({ sql }) => {
  await t.register(
    sql,
    "job",
    { overlap_policy: "allow", max_attempts: 2, backoff_base_seconds: 1, backoff_cap_seconds: 1 },
    t.after(600),
  );
  const list = [{ key: "customer 7" }];
  await t.value(sql, "scheduler.enqueue_runs('job', $1::jsonb, null, $2)", [list, t.NOON]);
  const keys = async () => (await t.runs(sql, "job")).map((row) => `${row.key} ${row.attempt}`);
  const failLast = async (minute: number) => {
    const run = (await t.runs(sql, "job")).at(-1)!;
    await t.begin(sql, run.id, t.after(minute));
    await t.finish(sql, run.id, "failed", t.after(minute));
    return run.id;
  };
  await failLast(1);
  await t.pulse(sql, t.after(2));
  const id = await failLast(3);
  await t.value(sql, "scheduler.retry_run($1, 'ann', $2)", [id, t.after(4)]);
  assert.deepEqual(await keys(), ["customer 7 1", "customer 7 2", "customer 7 3"]);
});

t.ledgerTest("the waiting runs of one key are found without reading the queue", async ({ sql }) => {
  await t.register(sql, "job", { overlap_policy: "allow", parallel_limit: 1 }, t.after(600));
  const list = Array.from({ length: 3_000 }, (_, n) => ({ key: `key ${n}` }));
  await sql`analyze scheduler_runs`;
  await t.value(sql, "scheduler.enqueue_runs('job', $1::jsonb, null, $2)", [list, t.NOON]);
  const read = await rowsRead(
    sql,
    ["scheduler_runs"],
    async (tx) => {
      const found = await tx`select key from scheduler.open_runs('job', 'key 2000')`;
      assert.deepEqual(found.map(({ key }) => key), ["key 2000"]);
      assert.equal((await tx`select from scheduler.open_runs('job', 'another key')`).length, 0);
    },
  );
  assert.equal(read.scheduler_runs, 1, "the one that was found");
});

t.ledgerTest(
  "enqueue_runs() refuses an unknown job and a list that it cannot read, by place and field",
  async ({ sql }) => {
    await t.register(sql, "job");
    for (
      const [list, fault] of [
        ["{}", "runs must be a JSON array of objects, got {}"],
        ["null", "runs must be a JSON array of objects, got null"],
        ["[{}, 1]", "runs[1] must be an object, got 1"],
        ['["a"]', 'runs[0] must be an object, got "a"'],
        ['[{"payload": [1]}]', 'runs[0].payload must be an object, got {"payload": [1]}'],
        [
          '[{}, {}, {"paylod": {}}]',
          'runs[2] must have no field but payload, key and priority, got {"paylod": {}}',
        ],
        ...['{"key": 7}', '{"key": ""}', '{"key": " "}', '{"key": "\\n"}'].map((run) =>
          [
            `[${run}]`,
            `runs[0].key must be a text of 1 to 200 characters that is not blank, got ${run}`,
          ] as const
        ),
      ] as const
    ) {
      const error = await refusal(
        sql`select scheduler.enqueue_runs('job', ${list}::text::jsonb)`,
      );
      assert.equal(error.code, "22023", list);
      assert.equal(error.message, `cannot enqueue runs of job: ${fault}`);
    }
    const long = JSON.stringify([{ key: "x".repeat(201) }]);
    assert.match(
      (await refusal(sql`select scheduler.enqueue_runs('job', ${long}::text::jsonb)`)).message,
      /runs\[0\]\.key must be a text of 1 to 200 characters/,
    );
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

t.ledgerTest(
  "more runs than one transaction sends follow with the next pulses",
  async ({ sql }) => {
    await sql`select scheduler.register_job('job', null, overlap_policy => 'allow')`;
    // The pulse looks at all that waits once a minute: not in the next ones.
    await t.pulse(sql, t.NOON);
    await sql`
    select scheduler.enqueue_runs('job', (select jsonb_agg('{}'::jsonb) from generate_series(1, 250)),
      null, ${t.after(0.1)})`;
    for (const minutes of [0.2, 0.3]) await t.pulse(sql, t.after(minutes));
    assert.equal((await t.requests(sql)).length, 250);
  },
);
