/** Rows of every table that is pruned, of any age. */

export interface OldRows {
  table: string;
  /** Inserts a row that became old at $1. */
  over: string;
  /** Inserts a row of the same age that must stay, because it is not over; absent where there is no such thing. */
  open?: string;
}

const device = "(select id from devices limit 1)";

const causeColumns =
  "(fingerprint, error_type, normalized_traceback, status, status_changed_at, first_seen_at, last_seen_at, occurrences)";
const causeOf = (seenAt: string, status: string) =>
  `(encode(sha256(random()::text::bytea), 'hex'), 'E', '', '${status}', ${seenAt}, ${seenAt}, ${seenAt}, 1)`;

/** By rule; `oldRowsDevice` has to be there. */
export const oldRows: Record<string, OldRows> = {
  device_activity_log: {
    table: "device_activity_log",
    over:
      `insert into device_activity_log (device_id, occurred_at, activity_type) values (${device}, $1, 'beat')`,
  },
  device_connection_sessions: {
    table: "device_connection_sessions",
    over:
      `insert into device_connection_sessions (device_id, status, connected_at, disconnected_at) values (${device}, 'ended', $1::timestamptz - interval '1 hour', $1)`,
    open:
      `insert into device_connection_sessions (device_id, status, connected_at) values (${device}, 'active', $1)`,
  },
  charging_sessions: {
    table: "charging_sessions",
    over:
      `insert into charging_sessions (device_id, status, started_at, ended_at) values (${device}, 'completed', $1::timestamptz - interval '1 hour', $1)`,
    open:
      `insert into charging_sessions (device_id, status, started_at) values (${device}, 'charging', $1)`,
  },
  pop_events_ledger: {
    table: "pop_events_ledger",
    over:
      `insert into pop_events_ledger (device_id, event_type, status, occurred_at, paid_out_at) values (${device}, 'sustained_connection', 'validated', $1, $1)`,
    open:
      `insert into pop_events_ledger (device_id, event_type, status, occurred_at) values (${device}, 'sustained_connection', 'validated', $1)`,
  },
  engagement_commands: {
    table: "engagement_commands",
    over:
      `insert into engagement_commands (device_id, command_type, status, issued_at, finished_at) values (${device}, 'notify', 'completed', $1, $1)`,
    open:
      `insert into engagement_commands (device_id, command_type, status, issued_at) values (${device}, 'notify', 'pending', $1)`,
  },
  tasks: {
    table: "tasks",
    over: `insert into tasks (title, status, completed_at) values ('t', 'completed', $1)`,
    open: `insert into tasks (title, created_at) values ('t', $1)`,
  },
  conversations: {
    table: "conversations",
    over: `insert into conversations (status, closed_at) values ('closed', $1)`,
    open: `insert into conversations (created_at) values ($1)`,
  },
  eliza_python_executions: {
    table: "eliza_python_executions",
    over:
      `insert into eliza_python_executions (code, status, finished_at) values ('1', 'failed', $1)`,
    open: `insert into eliza_python_executions (code, created_at) values ('1', $1)`,
  },
  code_fix_proposals: {
    table: "code_fix_proposals",
    over: `with cause as (insert into code_failure_causes ${causeColumns} values ${
      causeOf("now()", "open")
    } returning id)
       insert into code_fix_proposals (cause_id, request_id, status, error_message, model, reserved_tokens, created_at, asked_until, answered_at)
       select id, gen_random_uuid(), 'failed', 'e', 'm', 1, $1, $1, $1 from cause`,
    open: `with cause as (insert into code_failure_causes ${causeColumns} values ${
      causeOf("now()", "open")
    } returning id)
       insert into code_fix_proposals (cause_id, request_id, status, diff, reasoning, confidence, model, reserved_tokens, created_at, asked_until, answered_at)
       select id, gen_random_uuid(), 'pending', 'd', 'r', 1, 'm', 1, $1, $1, $1 from cause`,
  },
  code_failure_causes: {
    table: "code_failure_causes",
    over: `insert into code_failure_causes ${causeColumns} values ${causeOf("$1", "fixed")}`,
    open: `insert into code_failure_causes ${causeColumns} values ${causeOf("$1", "ignored")}`,
  },
  ecosystem_reports: {
    table: "ecosystem_reports",
    over:
      `insert into ecosystem_reports (day, scores, figures, headline, report) values ($1::timestamptz::date, '{}', '{}', '', '')`,
  },
  ecosystem_comments: {
    table: "ecosystem_comments",
    over:
      `insert into ecosystem_comments (day, state, issue, run_id, claimed_at, may_arrive_until, posted_at) values ($1::timestamptz::date, 'posted', 'o/n#1', gen_random_uuid(), $1, $1, $1)`,
    open:
      `insert into ecosystem_comments (day, state, issue, run_id, claimed_at, may_arrive_until) values ($1::timestamptz::date + 1, 'posting', 'o/n#1', gen_random_uuid(), $1, $1)`,
  },
  scheduler_health_history: {
    table: "scheduler_health_history",
    over:
      `insert into scheduler_health_history (job_name, scheduled_for, checked_at, score, status, summary, report, components) values ('j', $1, $1, 1, 'critical', '', '', '{}')`,
  },
  scheduler_activity: {
    table: "scheduler_activity",
    over: `insert into scheduler_activity (occurred_at, source, message) values ($1, 's', 'm')`,
  },
  scheduler_alerts: {
    table: "scheduler_alerts",
    over:
      `insert into scheduler_alerts (cause, rule, severity, seen_at, opens_at, opened_at, ended_at, end_kind, settled)
       values ('pulse', 'pulse_errors', 'warning', $1, $1, $1, $1, 'over', true)`,
    open: `insert into scheduler_alerts (cause, rule, severity, seen_at, opens_at, opened_at)
       values ('pulse', 'pulse_errors', 'warning', $1, $1, $1)`,
  },
  scheduler_alert_deliveries: {
    table: "scheduler_alert_deliveries",
    over: `with channel as (
         insert into scheduler_alert_channels (name, kind) values ('ops-' || gen_random_uuid(), 'slack') returning name)
       insert into scheduler_alert_deliveries
         (channel, event, severity, message, status, written_at, send_after, finished_at)
       select name, 'test', 'info', '{}', 'delivered', $1::timestamptz, $1, $1 from channel`,
    open: `with channel as (
         insert into scheduler_alert_channels (name, kind) values ('ops-' || gen_random_uuid(), 'slack') returning name)
       insert into scheduler_alert_deliveries (channel, event, severity, message, written_at, send_after)
       select name, 'test', 'info', '{}', $1::timestamptz, $1 from channel`,
  },
  scheduler_audit: {
    table: "scheduler_audit",
    over: `
      insert into scheduler_audit (occurred_at, author, verb, subject_type, subject)
      values ($1, 'ann', 'pause', 'job', 'j')`,
  },
  scheduled_actions: {
    table: "scheduled_actions",
    over:
      `insert into scheduled_actions (kind, message, due_at, next_attempt_at, status, finished_at) values ('reminder', 'm', $1, $1, 'dead', $1)`,
    open:
      `insert into scheduled_actions (kind, message, due_at, next_attempt_at, created_at) values ('reminder', 'm', $1, $1, $1)`,
  },
  scheduled_action_occurrences: {
    table: "scheduled_action_occurrences",
    over: `with action as (
        insert into scheduled_actions (kind, message, due_at, next_attempt_at) values ('reminder', 'm', $1, $1) returning *)
      insert into scheduled_action_occurrences (idempotency_key, action_id, scheduled_for, status, attempts, finished_at)
      select idempotency_key, id, due_at, 'completed', 1, $1 from action`,
  },
};

/** The device that the rows of devices belong to. */
export const oldRowsDevice =
  "insert into devices (device_fingerprint) values ('old-rows') on conflict do nothing";
