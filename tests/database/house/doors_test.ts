/** No caller brings a clock: what anon, authenticated or service_role may call asks the database what time it is. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { doors, moveClock, restoreClock } from "../../support/clock.ts";
import { withDatabase } from "../../support/database.ts";
import { oldRows } from "../../support/old-rows.ts";
import { refusal } from "../../support/refusal.ts";
import {
  after,
  CRON_SECRET,
  NOON,
  PROJECT_URL,
  register,
  runs,
  setSecret,
} from "../../support/scheduler.ts";
import { addOrganization, suggested } from "../../support/suggestions.ts";

/** Every argument of a function that one of the API's roles may call. */
const callerArguments = (sql: Sql) =>
  sql<{ signature: string; name: string; type: string; preset: string | null }[]>`
    select function.oid::regprocedure::text as signature, coalesce(argument.name, '') as name,
      format_type(argument.type, null) as type, pg_get_function_arg_default(function.oid, place::integer) as preset
    from pg_proc as function,
      unnest(proargtypes::oid[], proargnames[1:pronargs]) with ordinality as argument (type, name, place)
    where pronamespace = 'public'::regnamespace
      and not exists (select from pg_depend where objid = function.oid and deptype = 'e')
      and exists (
        select from unnest(array['anon', 'authenticated', 'service_role']) as role
        where has_function_privilege(role, function.oid, 'execute'))
    order by 1, place`;

/**
 * The moments and dates that a caller may hand over are data: a bound, an occurrence, a day to look at. One that is
 * new has to be looked at: is it the caller's present?
 */
const data: Record<string, string[]> = {
  aggregate_device_metrics_days: ["p_from", "p_to"],
  aggregate_device_metrics_hours: ["p_from", "p_to"],
  aggregate_device_metrics_recompute: ["p_from", "p_to"],
  begin_suggestion_try: ["p_week"],
  // Of code_monitor_state(), which has it from the database.
  claim_code_fix: ["p_not_since"],
  ecosystem_claim_comment: ["p_day"],
  ecosystem_doubt_comment: ["p_day"],
  ecosystem_figures: ["p_day"],
  ecosystem_release_comment: ["p_day"],
  ecosystem_record_comment: ["p_day"],
  ecosystem_take_over_comment: ["p_day"],
  ecosystem_record_report: ["p_day"],
  ecosystem_record_activity: ["p_day"],
  record_suggestion_failure: ["p_week"],
  release_suggestion_try: ["p_week"],
  schedule_action: ["p_due_at"],
  scheduler_api_explain: ["p_at"],
  scheduler_api_failures: ["p_since"],
  scheduler_api_history: ["p_from", "p_to"],
  scheduler_api_logs: ["p_from", "p_to"],
  scheduler_api_timeline: ["p_from", "p_to"],
  scheduler_finish_run: ["p_resume_at"],
  scheduler_record_health: ["p_scheduled_for"],
  scheduler_report_budget: ["p_resets_at"],
  scheduler_reserve_tokens: ["p_by"],
  set_organization_schedule: ["p_run_at"],
  store_prompt_suggestions: ["p_week"],
};

Deno.test("no function of the API's roles has an argument for the present, or a default that is it", () =>
  withDatabase(async ({ sql }) => {
    const all = await callerArguments(sql);
    assert.ok(all.length > 150);
    const clocks = all.filter(({ name, preset }) =>
      /(^|_)now($|_)|clock|current|today$|present/.test(name) ||
      /now\(|clock_timestamp|transaction_timestamp|statement_timestamp|current_|local|timeofday/i
        .test(preset ?? "")
    );
    assert.deepEqual(clocks.map(({ signature, name }) => `${signature}: ${name}`), []);
    const moments: Record<string, string[]> = {};
    for (const { signature, name, type } of all) {
      if (/^(timestamp|date|time|tstz|ts|date)/.test(type)) {
        (moments[signature.replace(/\(.*/, "")] ??= []).push(name);
      }
    }
    assert.deepEqual(moments, data);
  }));

Deno.test("a door hands on all it is given and nothing else, and its twin is closed", () =>
  withDatabase(async ({ sql }) => {
    const found = await doors(sql);
    assert.ok(found.length > 45);
    for (const { oid, twin, signature, body } of found) {
      const [door] = await sql`
        select prosecdef as definer, lanname as language, provolatile as volatility, prorettype as answer,
          coalesce(array_to_string(proargnames, ', '), '') as given,
          (select string_agg(pg_get_function_arg_default(pg_proc.oid, place), ', ') from generate_series(1, pronargs) as place) as defaults
        from pg_proc join pg_language on pg_language.oid = prolang where pg_proc.oid = ${oid}`;
      const [behind] = await sql`
        select oid::regprocedure::text as signature, prosecdef as definer, provolatile as volatility, prorettype as answer,
          (select string_agg(pg_get_function_arg_default(pg_proc.oid, place), ', ') from generate_series(1, pronargs - 1) as place) as defaults
        from pg_proc where oid = ${twin}::regproc`;
      assert.deepEqual([door!.definer, door!.language], [true, "sql"], signature);
      assert.equal(
        body.replaceAll(/\s+/g, " ").replace("( ", "(").trim(),
        `select ${twin}(${door!.given});`,
      );
      // A run begun by hand has defaults at its door alone.
      const alike = twin === "scheduler.begin_manual_run" ? [] : ["defaults"];
      for (const what of ["volatility", "answer", ...alike]) {
        assert.equal(door![what], behind![what], `${signature}: ${what}`);
      }
      const [open] =
        await sql`select has_function_privilege('service_role', ${oid}::oid, 'execute') as it`;
      assert.ok(open!.it, signature);
      assert.equal(behind!.definer, false, behind!.signature);
      for (const role of ["anon", "authenticated", "service_role"]) {
        const [may] = await sql`
          select has_function_privilege(${role}, ${behind!.signature}, 'execute') as it`;
        assert.equal(may!.it, false, `${role}: ${behind!.signature}`);
      }
    }
  }));

Deno.test("service_role cannot empty a log by saying that it is 2100", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    const { over } = oldRows.scheduler_activity!;
    await sql.unsafe(over, [new Date()]);
    for (
      const call of [
        "scheduler_prune_old_rows('scheduler_activity', 2000, '2100-01-01')",
        "scheduler_prune_old_rows('scheduler_activity', p_now => '2100-01-01')",
        "scheduler_begin_pruning('2100-01-01')",
        "scheduler.prune_old_rows('scheduler_activity', 2000, '2100-01-01')",
      ]
    ) {
      const { code } = await refusal(service.unsafe(`select ${call}`));
      assert.ok(["42883", "42501"].includes(code!), `${call}: ${code}`);
    }
    const [row] = await service`select scheduler_prune_old_rows('scheduler_activity') as deleted`;
    assert.equal(row!.deleted, 0);
    assert.equal((await sql`select from scheduler_activity`).length, 1);
  }));

Deno.test("service_role cannot stop judging by enqueuing a run at infinity", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    await sql`delete from scheduler_jobs`;
    await setSecret(sql, "project_url", PROJECT_URL);
    await setSecret(sql, "cron_secret", CRON_SECRET);
    await register(sql, "weekly-suggestions");
    await register(sql, "robust-batch-processor");
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    const [job] = await sql`
      insert into batch_jobs (organization_id, batch_date, time_zone, tasks_total) values (${id}, '2026-03-02', 'UTC', 1)
      returning id`;
    for (
      const call of [
        "continue_weekly_suggestions('infinity')",
        "continue_weekly_suggestions(p_now => 'infinity')",
        `continue_batch_job('${job!.id}', p_now => 'infinity')`,
        `continue_batch_job('${job!.id}', 'infinity')`,
        `resume_stuck_batch_job('${job!.id}', 'infinity')`,
      ]
    ) {
      const { code } = await refusal(service.unsafe(`select ${call}`));
      assert.ok(["42883", "22P02"].includes(code!), `${call}: ${code}`);
    }
    await service`select continue_weekly_suggestions()`;
    await service`select continue_batch_job(${job!.id}, ${Number.MAX_SAFE_INTEGER})`;
    const made = [
      ...await runs(sql, "weekly-suggestions"),
      ...await runs(sql, "robust-batch-processor"),
    ];
    assert.equal(made.length, 2);
    for (const run of made) {
      assert.ok(Number.isFinite(run.scheduled_for.getTime()));
      assert.ok(run.run_after === null || run.run_after < new Date(Date.now() + 25 * 3_600_000));
    }
  }));

Deno.test("service_role cannot forge the time of a line, a heartbeat, a check or a decision", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    for (
      const call of [
        "scheduler_log_activity('s', 'm', 'info', '{}', '2100-01-01')",
        "device_heartbeat(gen_random_uuid(), '2100-01-01')",
        "record_api_key_checks('[]', '2100-01-01'::timestamptz)",
        "accept_prompt_suggestion(gen_random_uuid(), 'ann', '2100-01-01')",
        "record_system_health('j', now(), now(), 1, 'healthy', '', '', '{}')",
        "prometheus_metrics('2100-01-01')",
      ]
    ) {
      assert.equal((await refusal(service.unsafe(`select ${call}`))).code, "42883", call);
    }
    const [noted] = await service`select scheduler_log_activity('s', 'm') as id`;
    const [line] = await sql`
      select occurred_at <= now() and occurred_at > now() - interval '1 minute' as true
      from scheduler_activity where id = ${noted!.id}`;
    assert.deepEqual({ ...line }, { true: true });
  }));

Deno.test("a week of suggestions that is to come can be neither begun, stored nor marked", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    const id = await addOrganization(sql, ["What sold best yesterday?"]);
    await moveClock(sql, "2026-03-06T12:00Z");
    for (const week of ["2026-03-09", "2100-01-04", "infinity", "-infinity", "2026-03-03", null]) {
      const date = week === null ? "null" : `'${week}'`;
      for (
        const call of [
          `begin_suggestion_try('${id}', ${date})`,
          `store_prompt_suggestions('${id}', ${date}, '["A good question?"]', 'muse')`,
          `record_suggestion_failure('${id}', ${date}, 'why')`,
        ]
      ) {
        const error = await refusal(service.unsafe(`select ${call}`));
        assert.deepEqual(
          [error.code, error.message],
          [
            "22023",
            `the week of suggestions must be a Monday that has begun, got ${week}`,
          ],
          call,
        );
      }
    }
    // In Kiritimati it is Monday ten hours before it is in Greenwich.
    await moveClock(sql, "2026-03-08T10:00Z");
    await service`select store_prompt_suggestions(${id}, '2026-03-09', '["A good question?"]', 'muse')`;
    assert.deepEqual(await suggested(sql, id), ["A good question?"]);
  }));

Deno.test("a day that is to come can have no reading, report or comment", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    await moveClock(sql, "2026-03-06T12:00Z");
    await sql`insert into ecosystem_repositories (full_name) values ('acme/lively')`;
    for (const day of ["2026-03-07", "2100-01-01", "infinity", "-infinity", null]) {
      const date = day === null ? "null" : `'${day}'`;
      for (
        const call of [
          `ecosystem_record_activity(1, ${date}, '{"outcome": "read"}')`,
          `ecosystem_record_report(${date}, '{}')`,
          `ecosystem_claim_comment(${date}, 'acme/lively#1', gen_random_uuid())`,
        ]
      ) {
        const error = await refusal(service.unsafe(`select ${call}`));
        assert.deepEqual(
          [error.code, error.message],
          ["22023", `the day must be one from 2000 until today (UTC), got ${day}`],
          call,
        );
      }
    }
    await service`select ecosystem_claim_comment('2026-03-06', 'acme/lively#1', gen_random_uuid())`;
    assert.equal((await sql`select from ecosystem_comments`).length, 1);
  }));

Deno.test("the check of API keys whose run began later counts, by the ledger", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    const began = async (at: Date | null) => {
      const [row] = await sql`
        insert into scheduler_runs (job_name, function_name, status, trigger, scheduled_for, timeout_seconds, started_at)
        values ('keys', 'keys', ${at === null ? "queued" : "running"}, 'enqueued', ${
        after(Math.random())
      }, 60, ${at}) returning id`;
      return row!.id;
    };
    const record = (status: string, run: string) =>
      service`select record_api_key_checks(${
        service.json([{ provider: "github", status }])
      }, ${run})`;
    const [first, second] = [await began(NOON), await began(after(1))];
    await record("valid", second);
    await record("invalid", first);
    const [row] = await sql`select status, checked_at from api_key_health`;
    assert.deepEqual({ ...row }, { status: "valid", checked_at: after(1) });
    for (const run of [await began(null), crypto.randomUUID()]) {
      const error = await refusal(record("valid", run));
      assert.deepEqual(
        [error.code, error.message],
        ["SD002", `there is no run ${run} that has begun`],
      );
    }
  }));

Deno.test("moveClock() moves the time behind every door, restoreClock() gives the database's own", () =>
  withDatabase(async ({ sql, connect }) => {
    const service = connect("service_role");
    const before = await doors(sql);
    const noted = async () => {
      await service`select scheduler_log_activity('s', 'm')`;
      const [row] = await sql`select occurred_at from scheduler_activity order by id desc limit 1`;
      return row!.occurred_at;
    };
    await moveClock(sql, NOON);
    assert.deepEqual(await noted(), NOON);
    await moveClock(sql, after(1));
    assert.deepEqual(await noted(), after(1));
    const moved = await doors(sql);
    assert.equal(moved.length, before.length);
    for (const { signature, body } of moved) assert.match(body, /test_clock\.now\(\)/, signature);
    await restoreClock(sql);
    assert.ok(await noted() > new Date(Date.now() - 60_000));
  }));
