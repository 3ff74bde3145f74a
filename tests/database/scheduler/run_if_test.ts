import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { refusal } from "../../support/refusal.ts";
import * as t from "../../support/scheduler.ts";

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

t.ledgerTest(
  "when the newest of several due cannot be asked, the one before it runs",
  async ({ sql }) => {
    await sql.unsafe(`
    create function public.wanted(p_at timestamptz) returns boolean language sql as
    $$ select 1 / (p_at < '2026-03-02T12:02:00Z')::integer = 1 $$`);
    await t.register(sql, "job", { run_if: "public.wanted" });
    await t.dispatch(sql, "job", t.after(2));
    assert.deepEqual(
      (await t.runs(sql, "job")).map((row) => row.skip_kind ?? row.verdict ?? row.status),
      ["superseded", "dispatched", "dispatch_failed"],
    );
  },
);

t.ledgerTest("run_now ignores the job's run_if", async ({ sql }) => {
  await wanted(sql, false);
  await t.register(sql, "job", { run_if: "public.wanted" });
  await t.value(sql, "scheduler.run_now('job', 'ann')");
  assert.deepEqual(await t.summary(sql, "job"), ["dispatched manual 1"]);
});

t.ledgerTest(
  "a run_if is read however it is written, and kept as the catalogue names it",
  async ({ sql }) => {
    await sql.unsafe(`
      create function public."Odd (name)"(timestamptz) returns boolean language sql as 'select false';
      create function public.wanted(p_at date) returns boolean language sql as 'select true';
      create function public.wanted() returns boolean language sql as 'select true'`);
    await wanted(sql, false);
    for (
      const [written, kept] of [
        ["public.wanted", "public.wanted"],
        [" public.wanted ", "public.wanted"],
        ["PUBLIC.Wanted", "public.wanted"],
        ["public.wanted(timestamptz)", "public.wanted"],
        ["public.wanted(timestamp with time zone) ", "public.wanted"],
        ['"public"."wanted"', "public.wanted"],
        ['public."wanted"( timestamptz )', "public.wanted"],
        ['public."Odd (name)"', 'public."Odd (name)"'],
        ['public."Odd (name)"(timestamptz)', 'public."Odd (name)"'],
      ] as const
    ) {
      await t.register(sql, "job", { run_if: written });
      const [job] = await sql`select run_if from scheduler_jobs`;
      assert.equal(job!.run_if, kept, written);
      assert.equal(await t.dispatch(sql, "job"), null, written);
      // As a row that was written before may hold it.
      await sql`update scheduler_jobs set run_if = ${written}, next_run_at = ${t.after(1)}`;
      assert.equal(await t.dispatch(sql, "job", t.after(1)), null, written);
    }
    assert.deepEqual(await t.runs(sql, "job"), []);
  },
);

t.ledgerTest(
  "registering again with a run_if written otherwise changes no row",
  async ({ sql }) => {
    await wanted(sql, true);
    const row = async () => {
      await sql`select scheduler.register_job('job', '0 0 1 1 *', run_if => 'PUBLIC.wanted(timestamptz)')`;
      return (await sql`select xmin::text from scheduler_jobs`)[0]!.xmin;
    };
    assert.equal(await row(), await row());
  },
);

t.ledgerTest(
  "run_if must name a function that takes a time and returns a boolean",
  async ({ sql, admin }) => {
    await wanted(sql, true);
    await sql.unsafe(`
      create function public.many(timestamptz) returns setof boolean language sql as 'select true';
      create function public.defaulted(timestamptz, integer default 1) returns boolean language sql as 'select true';
      create function public.told(timestamptz) returns text language sql as 'select null::text';
      create function public.without() returns boolean language sql as 'select true';
      create procedure public.done(timestamptz) language sql as ''`);
    for (
      const name of [
        ...["public.nothing", "nowhere.wanted", "wanted", "public.wanted()", "public.wanted(date)"],
        ...[
          "public.wanted(p_at timestamptz)",
          "public.wanted(timestamptz",
          "public.wanted(nonsense)",
        ],
        ...[
          "nonsense; drop table x",
          "",
          " ",
          "()",
          "(",
          '"public.wanted',
          '""."wanted"',
          "a.b.c.d",
        ],
        ...["other.public.wanted", "pg_catalog.date_part", "public.many", "public.defaulted"],
        ...["public.told", "public.without", "public.without()", "public.done", "x".repeat(5000)],
      ]
    ) {
      const error = await refusal(t.register(sql, "job", { run_if: name }));
      assert.equal(error.code, "22023", name);
      assert.equal(
        error.message,
        "cannot register the job job: run_if must name a function (timestamptz) returns boolean, " +
          `with its schema, got '${name}'`,
      );
    }
    await admin.unsafe(`
      create function public.closed(timestamptz) returns boolean language sql as 'select true';
      revoke all on function public.closed(timestamptz) from public, postgres`);
    const error = await refusal(t.register(sql, "job", { run_if: "public.closed" }));
    assert.match(error.message, /run_if public\.closed may not be executed by postgres$/);
  },
);

t.ledgerTest(
  "a run_if that cannot be asked raises, and names job, run_if and reason",
  async ({ sql }) => {
    const ask = () =>
      sql`select scheduler.has_work(jobs, ${t.NOON}) from scheduler_jobs as jobs where name = 'job'`;
    for (
      const [body, code, reason] of [
        ["select 1 / 0 = 1", "22012", "division by zero"],
        [
          "select public.gone_too(p_at)",
          "42883",
          "function public.gone_too(timestamp with time zone) does not exist",
        ],
        ["begin raise exception 'no such tenant'; end", "P0001", "no such tenant"],
      ] as const
    ) {
      const language = body.startsWith("begin") ? "plpgsql" : "sql";
      await sql.unsafe(
        `set check_function_bodies = off; create or replace function public.broken(p_at timestamptz)
      returns boolean language ${language} as $$ ${body} $$`,
      );
      await t.register(sql, "job", { run_if: "public.broken" });
      const error = await refusal(ask());
      assert.equal(error.code, code);
      assert.equal(
        error.message,
        `cannot ask whether job has anything to do: its run_if public.broken failed: ${reason}`,
      );
    }
    await sql`drop function public.broken`;
    const error = await refusal(ask());
    assert.equal(error.code, "42883");
    assert.equal(
      error.message,
      "cannot ask whether job has anything to do: its run_if public.broken is no function (timestamptz) returns boolean any more",
    );
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

t.ledgerTest(
  "a late occurrence is not caught up when run_if says no or cannot be asked, after a gap either",
  async ({ sql }) => {
    await sql.unsafe(
      `create function public.idle(p_at timestamptz) returns boolean language sql as $$ select false $$;
      create function public.broken(p_at timestamptz) returns boolean language sql as $$ select 1 / 0 = 1 $$`,
    );
    for (const policy of ["once", "all"]) {
      for (const [name, schedule] of [["hourly", "0 * * * *"], ["minutely", "0-50 * * * *"]]) {
        await t.register(
          sql,
          `idle-${name}-${policy}`,
          { schedule, run_if: "public.idle", misfire_policy: policy, misfire_cap: 2 },
          t.after(-3000),
        );
        await t.register(
          sql,
          `broken-${name}-${policy}`,
          { schedule, run_if: "public.broken", misfire_policy: policy, misfire_cap: 2 },
          t.after(-3000),
        );
      }
    }
    await t.pulse(sql, t.after(-3));
    assert.deepEqual(
      [
        ...await sql`
        select distinct split_part(job_name, '-', 1) as what, status, verdict from scheduler_runs order by 1, 2`,
      ],
      [
        { what: "broken", status: "failed", verdict: "dispatch_failed" },
        { what: "broken", status: "missed", verdict: "missed" },
        { what: "idle", status: "missed", verdict: "missed" },
      ],
    );
    assert.deepEqual(await t.summary(sql, "idle-hourly-once"), []);
  },
);
