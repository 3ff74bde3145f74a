import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { documentedOwnStates } from "../../support/error-codes.ts";
import { refusal } from "../../support/refusal.ts";

const nobody = "00000000-0000-4000-8000-000000000000";
const run = "11111111-1111-4111-8111-111111111111";

/** A run of the job system-health. */
function addRun(values: Record<string, string>): string {
  const row = {
    id: run,
    job_name: "system-health",
    function_name: "system-health",
    trigger: "cron",
    scheduled_for: "2026-03-02 12:00Z",
    max_attempts: "1",
    timeout_seconds: "60",
    ...values,
  };
  const given = Object.values(row).map((value) => `'${value}'`);
  return `insert into scheduler_runs (${Object.keys(row)}) values (${given})`;
}
const over = { completed_at: "2026-03-02 12:01Z" };
const acme = `insert into organizations (id, name) values ('${run}', 'Acme')`;
const prompt = `insert into prompts (organization_id, text) values ('${run}', 'What sold best?')`;
const cause = `
  insert into code_failure_causes (fingerprint, error_type, normalized_traceback, status_changed_at, first_seen_at,
    last_seen_at, occurrences) values (repeat('a', 64), 'KeyError', '', now(), now(), now(), 1)`;
const proposal = `
  insert into code_fix_proposals (cause_id, request_id, status, model, reserved_tokens, asked_until)
  select id, '${run}', 'asking', 'muse', 0, now() from code_failure_causes`;

/** For each code what has to be there, the call that raises it, and what another transaction has done and holds. */
const raises: Record<string, [string[], string, string?]> = {
  SD001: [[], "scheduler.run_now('nobody', 'ann')"],
  SD002: [[], `scheduler.cancel_run('${nobody}', 'why', 'who')`],
  SD003: [[], "scheduler.setting_value('nobody.knows')"],
  SD004: [[], "scheduler_prune_old_rows('nobody')"],
  SD005: [[], "scheduler_read_health('nobody')"],
  SD006: [[], `cancel_scheduled_action('${nobody}', 'no longer wanted', 'ann')`],
  SD007: [[], `batches.cancel_job('${nobody}', 'why', 'who')`],
  SD008: [[], `batches.rerun_daily('${nobody}', current_date - 1, 'why', 'who')`],
  SD009: [[], `accept_prompt_suggestion('${nobody}', 'who')`],
  SD010: [[], "accept_code_fix(0, 'why', 'who')"],
  SD011: [[], "set_code_failure_status(0, 'open', 'why', 'who')"],
  SD012: [[], "scheduler.take_tokens('nothing', 1)"],
  SD013: [[], "scheduler.remove_calendar_span('nobody', '2026-03-02', 'who')"],
  SD014: [[], "scheduler.resume_group('nobody', 'who')"],
  SD015: [[], "scheduler.unregister_alert_channel('nobody', 'why', 'who')"],
  SD016: [[], `scheduler.remove_operator('${nobody}', 'why', 'who')`],
  SD101: [[addRun({ status: "queued" })], `scheduler.retry_run('${run}', 'who')`],
  SD102: [
    [
      acme,
      prompt,
      `insert into batch_jobs (organization_id, batch_date, rerun, time_zone, tasks_total, status)
        values ('${run}', current_date - 1, 0, 'UTC', 1, 'pending')`,
    ],
    `batches.rerun_daily('${run}', current_date - 1, 'why', 'who')`,
  ],
  SD103: [
    ["update devices.metrics_state set next_hour = next_hour - interval '100 days'"],
    "devices.freeze_metrics(now() - interval '50 hours')",
  ],
  SD104: [
    ["select scheduler.start_incident('why', 'who')"],
    "scheduler.start_incident('why', 'who')",
  ],
  SD105: [
    ["select scheduler.start_incident('why', 'who')"],
    "scheduler.end_incident('who')",
    "select from scheduler_jobs where name = 'system-health' for no key update",
  ],
  SD201: [
    [addRun({ status: "completed", verdict: "ok", ...over })],
    `scheduler.retry_run('${run}', 'who')`,
  ],
  SD202: [[
    addRun({
      status: "missed",
      verdict: "missed",
      ...over,
      occurrences: "2000",
      scheduled_until: "2026-06-03 12:00Z",
    }),
  ], `scheduler.retry_run('${run}', 'who')`],
  SD203: [
    [`select schedule_action('reminder', now() + interval '1 day', p_message => 'tea', p_id => '${run}')`],
    `retry_scheduled_action('${run}', 'ann')`,
  ],
  SD204: [
    [cause, proposal],
    "accept_code_fix((select max(id) from code_fix_proposals), 'why', 'who')",
  ],
  SD205: [
    ["select scheduler.register_job('after', null, depends_on => '{system-health}')"],
    "scheduler.unregister_job('system-health')",
  ],
  SD206: [
    ["select scheduler.register_budget('api', 3, '1 hour')"],
    "scheduler.reserve_tokens('api', 4, now() + interval '1 minute', 'job')",
  ],
  SD207: [
    [`select scheduler.add_operator('${run}', 'viewer', 'ann', 'why', 'who')`],
    `scheduler.api_as_user('${run}', false, 'scheduler_api_act', '{}')`,
  ],
  SD208: [
    [],
    `scheduler.adopt_entries('[{"name": "gone", "username": "postgres", "schedule": "@daily", "active": true}]')`,
  ],
  SD301: [[acme], `batches.rerun_daily('${run}', current_date - 1, 'why', 'who')`],
  SD302: [
    [acme, prompt, "update batch_providers set enabled = false"],
    `batches.rerun_daily('${run}', current_date - 1, 'why', 'who')`,
  ],
  SD303: [
    ["delete from vault.secrets where name = 'cron_secret'"],
    "scheduler.begin_secret_rotation('why', 'who')",
  ],
};

Deno.test("each SQLSTATE of docs/errors.md is raised by the call that the page names", () =>
  withDatabase(async ({ sql }) => {
    assert.deepEqual(Object.keys(raises), documentedOwnStates());
    for (const [state, [before, call, held]] of Object.entries(raises)) {
      const holder = await sql.reserve();
      await holder.unsafe(`begin; ${held ?? ""}`);
      const attempt = sql.begin(async (transaction) => {
        for (const statement of before) await transaction.unsafe(statement);
        await transaction.unsafe(`select ${call}`);
      });
      const error = await refusal(attempt).catch((error) =>
        assert.fail(`${state}: ${error.message}`)
      );
      assert.equal(error.code, state, `${call}: ${error.message}`);
      await holder`rollback`;
      holder.release();
    }
  }));

Deno.test("a function that raises an SQLSTATE of Daybook's own says so in its comment", () =>
  withDatabase(async ({ sql }) => {
    // A handler ("when sqlstate 'SD103'") raises nothing.
    const rows = await sql`
      select distinct p.oid::regprocedure::text as function, state[1] as state, obj_description(p.oid, 'pg_proc') as comment
      from pg_proc as p, regexp_matches(replace(prosrc, 'when sqlstate ''', ''), '''(SD[0-9]{3})''', 'g') as state
      order by 1, 2`;
    assert.ok(rows.length > 15, `${rows.length}`);
    const silent = rows.filter(({ comment, state }) => !comment?.includes(state));
    assert.deepEqual(silent.map((row) => `${row.function}: ${row.state}`), []);
  }));
