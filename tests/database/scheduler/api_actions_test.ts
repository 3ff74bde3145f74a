import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addChannel } from "../../support/alerts.ts";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const act = (
  sql: Sql,
  verb: string | null,
  subject: string,
  input: Record<string, unknown> = {},
  { reason = "why", author = "ann", now = t.NOON }: {
    reason?: string | null;
    author?: string | null;
    now?: Date;
  } = {},
) =>
  t.value(sql, "scheduler.api_act($1, $2, $3, $4, $5, $6)", [
    verb,
    subject,
    reason,
    author,
    input,
    now,
  ]);

const log = async (sql: Sql) =>
  (await sql`select verb, subject, reason, author from scheduler_audit
    where verb not like 'register%' order by id`)
    .map((row) => Object.values(row).join(" | "));

t.ledgerTest(
  "each verb does what its function does, and the audit log has reason and author",
  async ({ sql }) => {
    await sql`select scheduler.register_group('night')`;
    await t.register(
      sql,
      "job",
      { alias: "worker", group_name: "night", max_attempts: 1 },
      t.after(60),
    );
    const job = async () => (await sql`select * from scheduler_jobs where name = 'job'`)[0]!;
    const { run_id } = await act(sql, "run", "worker", { payload: { size: 3 } });
    assert.deepEqual((await t.run(sql, run_id)).payload, { size: 3 });
    assert.match((await act(sql, "cancel", run_id)).message, /is cancelled/);
    const retry = await act(sql, "retry", run_id);
    assert.equal((await t.run(sql, retry.run_id)).attempt, 2);
    const { released } = await act(sql, "force-release-locks", "");
    assert.deepEqual([released.length, released[0].job], [1, "job"]);
    assert.match(released[0].message, new RegExp(`run ${retry.run_id} is cancelled`));

    assert.match(
      (await act(sql, "pause", "worker", { until: t.after(30) })).message,
      /until 2026-03-02 12:30/,
    );
    assert.deepEqual((await job()).paused_until, t.after(30));
    assert.match((await act(sql, "resume", "job")).message, /runs again/);
    assert.equal((await job()).paused_at, null);
    assert.match((await act(sql, "close-breaker", "job")).message, /not there/);
    assert.match((await act(sql, "pause-group", "night")).message, /with 1 job/);
    assert.match((await act(sql, "resume-group", "night")).message, /runs again/);
    await addChannel(sql, "slack");
    assert.match((await act(sql, "test-channel", "slack")).message, /^the next pulse sends it/);
    assert.match(
      (await act(sql, "stop", "", { end_runs: true })).message,
      /^1 job is stopped; 0 runs told/,
    );
    assert.match((await act(sql, "restart", "", { ramp_seconds: 0 })).message, /within 0 s/);
    assert.deepEqual(await log(sql), [
      "run_now | job | why | ann",
      `cancel_run | ${run_id} | why | ann`,
      `retry_run | ${run_id} | why | ann`,
      "release_lock | job | why | ann",
      "pause | job | why | ann",
      "resume | job | why | ann",
      "pause_group | night | why | ann",
      "resume_group | night | why | ann",
      "test_alert_channel | slack | why | ann",
      "start_incident | all jobs | why | ann",
      "end_incident | all jobs | why | ann",
    ]);
  },
);

t.ledgerTest("a back-fill is previewed unless told otherwise", async ({ sql }) => {
  await t.register(sql, "job", {}, t.after(60));
  const range = { from: t.after(-10), to: t.after(-7) };
  const preview = await act(sql, "backfill", "job", range);
  assert.deepEqual(
    [preview.preview, preview.occurrences.length, (await t.runs(sql, "job")).length],
    [
      true,
      3,
      0,
    ],
  );
  assert.equal(preview.occurrences[0].becomes, "would be queued");
  const done = await act(sql, "backfill", "job", {
    ...range,
    preview: false,
    at_most: 2,
    newest_first: true,
  });
  assert.deepEqual([done.preview, done.occurrences.length, (await t.runs(sql, "job")).length], [
    false,
    3,
    2,
  ]);
  assert.equal(Date.parse(done.occurrences[0].scheduled_for), t.after(-8).getTime());
});

t.ledgerTest("named locks alone are released, by name or alias", async ({ sql }) => {
  for (const name of ["one", "two", "three"]) await t.register(sql, name, { alias: `${name}-x` });
  await t.pulse(sql, t.NOON);
  const locks = async () =>
    (await sql`select name from scheduler_locks order by name`).map(({ name }) => name);
  assert.deepEqual(await locks(), ["one", "three", "two"]);
  const { released } = await act(sql, "force-release-locks", "", { jobs: ["two-x", "one"] });
  assert.deepEqual(released.map(({ job }: { job: string }) => job), ["one", "two"]);
  assert.deepEqual(await locks(), ["three"]);
  assert.deepEqual(await act(sql, "force-release-locks", "", { jobs: [] }), { released: [] });
  const error = await refusal(act(sql, "force-release-locks", "", { jobs: ["three", "nobody"] }));
  assert.equal(error.code, "SD001");
  assert.deepEqual(await locks(), ["three"], "nothing of it was done");
});

t.ledgerTest(
  "without reason or author nothing is done; what is refused is refused as by the verb",
  async ({ sql }) => {
    await t.register(sql, "job");
    const run = await t.start(sql, "job");
    const cases: [string | null, string, Record<string, unknown>, object, string][] = [
      ["pause", "job", {}, { reason: null }, "22023"],
      ["pause", "job", {}, { author: " " }, "22023"],
      ["resume", "job", {}, { reason: "" }, "22023"],
      ["dance", "job", {}, {}, "22023"],
      [null, "job", {}, {}, "22023"],
      ["pause", "nobody", {}, {}, "SD001"],
      ["pause", "job", { until: "2020-01-01T00:00:00Z" }, {}, "22023"],
      ["pause", "job", { until: "soon" }, {}, "22007"],
      ["cancel", "x", {}, {}, "22P02"],
      ["cancel", crypto.randomUUID(), {}, {}, "SD002"],
      ["run", "job", {}, {}, "SD101"],
      ["retry", run, {}, {}, "SD101"],
      ["pause-group", "nobody", {}, {}, "SD014"],
      ["test-channel", "nobody", {}, {}, "SD015"],
      ["restart", "", { ramp_seconds: -1 }, {}, "22023"],
      ["backfill", "job", {}, {}, "22023"],
    ];
    for (const [verb, subject, input, options, code] of cases) {
      const error = await refusal(act(sql, verb, subject, input, options));
      assert.equal(error.code, code, `${verb}: ${error.message}`);
    }
    assert.deepEqual(await log(sql), []);
  },
);

t.ledgerTest("the reason of a call is that of no verb after it", async ({ sql }) => {
  await t.register(sql, "job");
  await sql.begin(async (transaction) => {
    await transaction`select scheduler.api_act('pause', 'job', 'why', 'ann', '{}', ${t.NOON})`;
    await transaction`select scheduler.resume('job', 'bob', ${t.NOON})`;
  });
  assert.deepEqual(await log(sql), ["pause | job | why | ann", "resume | job |  | bob"]);
});

t.ledgerTest(
  "a tick sends what is due, and says when another pulse is at work",
  async ({ sql, connect }) => {
    await t.register(sql, "job");
    const tick = (by: Sql) => t.value(by, "scheduler.api_tick($1)", [t.NOON]);
    const { timestamp, ...told } = await tick(sql);
    assert.equal(Date.parse(timestamp), t.NOON.getTime());
    assert.deepEqual(told, { beat: true, more: false, errors: {} });
    assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
    await connect().begin(async (other) => {
      await other`select from scheduler.pulse_state for update`;
      assert.equal((await tick(sql)).beat, false);
    });
  },
);
