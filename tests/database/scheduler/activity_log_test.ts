import assert from "node:assert/strict";
import { moveClock } from "../../support/clock.ts";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

const lines = async (sql: Sql) =>
  (await sql`select source, severity, message from scheduler_activity order by id`)
    .map((row) => `${row.severity} ${row.source}: ${row.message}`);

/** Runs the job's occurrence at `now` to its end with this result or error. */
async function live(
  sql: Sql,
  now: Date,
  outcome: string,
  result: Record<string, unknown> | null,
  error: string | null = null,
): Promise<string> {
  const id = (await t.dispatch(sql, "job", now))!;
  await t.begin(sql, id, now);
  await sql`select scheduler.finish_run(${id}, ${outcome}, ${result as never}, ${error}, p_now => ${now})`;
  return id;
}

t.ledgerTest(
  "a completed run leaves a line only when it says that it is notable",
  async ({ sql }) => {
    await t.register(sql, "job");
    await live(sql, t.after(0), "completed", { summary: "nothing to do" });
    await live(sql, t.after(1), "completed", { summary: "odd", notable: "loudly" });
    await live(sql, t.after(2), "completed", { summary: "3 sessions\nended", notable: "info" });
    await live(sql, t.after(3), "completed", { notable: "warning" });
    assert.deepEqual(await lines(sql), ["info job: 3 sessions ended", "warning job: completed"]);
  },
);

t.ledgerTest("a failed run leaves a line when it is not tried again", async ({ sql }) => {
  await t.register(sql, "job", {
    max_attempts: 2,
    backoff_base_seconds: 1,
    backoff_cap_seconds: 1,
  });
  await live(sql, t.after(0), "failed", null, "first");
  assert.deepEqual(await lines(sql), []);
  await t.pulse(sql, t.after(0.5));
  const [, retry] = await t.runs(sql, "job");
  assert.equal(retry!.status, "dispatched");
  await t.begin(sql, retry!.id, t.after(0.6));
  await t.finish(sql, retry!.id, "failed", t.after(0.7));
  assert.deepEqual(await lines(sql), ["error job: failed: job_error: it broke"]);
  const [line] = await sql`select run_id, occurred_at, details from scheduler_activity`;
  assert.equal(line!.run_id, retry!.id);
  assert.deepEqual(line!.occurred_at, t.after(0.7));
  assert.equal(line!.details.attempt, 2);
});

t.ledgerTest("a cancelled run leaves a line that says why", async ({ sql }) => {
  await t.register(sql, "job");
  await t.dispatch(sql, "job");
  await sql`select scheduler.release_lock('job', 'the worker is gone', 'ann', ${t.after(1)})`;
  assert.deepEqual(await lines(sql), [
    "warning job: cancelled: its lock was released by ann: the worker is gone",
  ]);
});

t.ledgerTest("missed occurrences leave one line for all of them", async ({ sql }) => {
  await t.register(sql, "job", { misfire_policy: "skip", time_zone: "Asia/Tokyo" }, t.after(-90));
  await t.pulse(sql, t.NOON);
  assert.deepEqual(await lines(sql), [
    "warning job: missed 90 occurrences from 2026-03-02 19:30 Asia/Tokyo to 2026-03-02 20:59 Asia/Tokyo",
  ]);
});

t.ledgerTest("skipped occurrences leave no line", async ({ sql }) => {
  await t.register(sql, "job");
  await t.dispatch(sql, "job");
  await t.dispatch(sql, "job", t.after(1));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1", "skipped cron 1"]);
  assert.deepEqual(await lines(sql), []);
});

t.ledgerTest(
  "scheduler_log_activity() adds a line in one line, cut where it is too long",
  async ({ sql, connect }) => {
    const service = connect("service_role");
    await moveClock(sql, t.NOON);
    await service`select scheduler_log_activity('  reminder ', ${`water\n\tthe ${
      "plants ".repeat(300)
    }`})`;
    const [row] = await sql`select * from scheduler_activity`;
    assert.equal(row!.source, "reminder");
    assert.equal(row!.message.length, 1000);
    assert.match(row!.message, /^water the plants .*\.\.\.$/);
    assert.deepEqual([row!.severity, row!.run_id, row!.occurred_at], ["info", null, t.NOON]);
  },
);

t.ledgerTest(
  "scheduler_log_activity() refuses a line that says nothing and an unknown severity",
  async ({ sql }) => {
    for (
      const [source, message, severity, expected] of [
        ["", "m", "info", "cannot log an activity: source and message must be given"],
        ["s", " \n", "info", "cannot log an activity: source and message must be given"],
        [
          "s",
          "m",
          "loud",
          "cannot log an activity: severity must be info, warning or error, got 'loud'",
        ],
      ] as const
    ) {
      const error = await refusal(
        sql`select scheduler_log_activity(${source}, ${message}, ${severity})`,
      );
      assert.deepEqual([error.code, error.message], ["22023", expected]);
    }
  },
);

t.ledgerTest(
  "service_role can read the lines, and neither change nor forge those of runs",
  async ({ connect }) => {
    const service = connect("service_role");
    await service`select * from scheduler_activity`;
    for (
      const statement of [
        "insert into scheduler_activity (source, message) values ('s', 'm')",
        "update scheduler_activity set message = 'other'",
        "delete from scheduler_activity",
      ]
    ) {
      assert.equal((await refusal(service.unsafe(statement))).code, "42501", statement);
    }
  },
);
