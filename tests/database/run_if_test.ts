import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../support/refusal.ts";
import * as t from "../support/scheduler.ts";

/** `public.wanted` says what the setting `tests.wanted` holds, from 12:00 on. */
async function wanted(sql: Sql, answer: boolean): Promise<void> {
  await sql.unsafe(`
    create or replace function public.wanted(p_at timestamptz) returns boolean language sql as
    $$ select ${answer} and p_at >= '2026-03-02T12:00:00Z' $$`);
}

t.ledgerTest("an occurrence with nothing to do costs no row and no request", async ({ sql }) => {
  await wanted(sql, false);
  await t.register(sql, "job", { run_if: "public.wanted" });
  assert.equal(await t.dispatch(sql, "job"), null);
  assert.deepEqual(await t.runs(sql, "job"), []);
  assert.deepEqual(await t.requests(sql), []);
  assert.equal(
    await t.value(sql, "scheduler.explain('job', $1, $1)", [t.NOON]),
    "job did not run at 2026-03-02 12:00 UTC: there was nothing to do, by its run_if public.wanted.",
  );
  await wanted(sql, true);
  await t.dispatch(sql, "job", t.after(1));
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched cron 1"]);
});

t.ledgerTest("each late occurrence is asked for itself", async ({ sql }) => {
  await wanted(sql, true);
  await t.register(sql, "job", { run_if: "public.wanted", misfire_policy: "skip" }, t.after(-3));
  await t.pulse(sql, t.after(20));
  const rows = await t.runs(sql, "job");
  assert.ok(rows.length > 10);
  assert.ok(rows.every((row) => row.scheduled_for >= t.NOON), "none before 12:00");
  assert.deepEqual(rows.at(-1)!.status, "dispatched");
});

t.ledgerTest("a person runs the job whatever its run_if says", async ({ sql }) => {
  await wanted(sql, false);
  await t.register(sql, "job", { run_if: "public.wanted" });
  await t.value(sql, "scheduler.run_now('job')");
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched manual 1"]);
});

t.ledgerTest(
  "run_if must name a function that takes a time and returns a boolean",
  async ({ sql }) => {
    for (
      const name of [
        "public.nothing",
        "nonsense; drop table x",
        "pg_catalog.date_part",
        "public.wanted()",
      ]
    ) {
      const error = await refusal(
        sql`select scheduler.register_job('job', '* * * * *', run_if => ${name})`,
      );
      assert.match(error.message, /run_if|syntax|name/i, name);
    }
  },
);

t.ledgerTest(
  "a run_if that fails costs its own job that occurrence, and the row says why",
  async ({ sql }) => {
    await sql.unsafe(
      `create function public.broken(p_at timestamptz) returns boolean language sql as
    $$ select 1 / 0 = 1 $$`,
    );
    await t.register(sql, "job", { run_if: "public.broken" });
    await t.register(sql, "other");
    const report = await t.pulse(sql, t.after(1));
    assert.deepEqual(report.errors, {});
    assert.deepEqual(await t.summary(sql, "job"), [
      "failed cron 1 dispatch_failed",
      "failed cron 1 dispatch_failed",
    ]);
    assert.match((await t.runs(sql, "job"))[1]!.error_message, /division by zero/);
    assert.ok((await t.runs(sql, "other")).length > 0);
  },
);
