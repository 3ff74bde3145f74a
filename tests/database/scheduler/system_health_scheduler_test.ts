import { componentTests, repeat } from "../../support/system-health.ts";

// A template holds the jobs of the migrations: every case begins with a registry of its own.
const empty = "delete from scheduler_runs; delete from scheduler_jobs;\n";

componentTests("scheduler", [
  ["nothing is registered, whatever its pulse", empty + pulse("9 days"), "healthy", {
    pulse_age_seconds: NaN,
  }],
  ["it beats", scheduler() + pulse("179 seconds"), "healthy", { pulse_age_seconds: 179 }],
  ["it has not beaten for three minutes", scheduler() + pulse("180 seconds"), "degraded", {
    pulse_age_seconds: 180,
  }],
  ["it has not beaten for ten minutes", scheduler() + pulse("10 minutes"), "critical", {
    pulse_age_seconds: 600,
  }],
  [
    "it was installed a minute ago and has not beaten yet",
    scheduler("1 minute") + "update scheduler.pulse_state set last_pulse_at = null;",
    "healthy",
    { pulse_age_seconds: 60 },
  ],
  [
    "it was installed an hour ago and never beat",
    scheduler("1 hour") + "update scheduler.pulse_state set last_pulse_at = null;",
    "critical",
    { pulse_age_seconds: 3600 },
  ],
  [
    "the row of the pulse is gone",
    scheduler("1 hour") + "delete from scheduler.pulse_state;",
    "critical",
    { pulse_age_seconds: 3600 },
  ],
  ["a job is due this minute", scheduler() + due("179 seconds"), "healthy", {
    seconds_behind: 179,
  }],
  ["a job is three minutes behind", scheduler() + due("180 seconds"), "degraded", {
    seconds_behind: 180,
  }],
  ["a job is a quarter of an hour behind", scheduler() + due("15 minutes"), "critical", {
    seconds_behind: 900,
  }],
  ["a disabled job is behind", scheduler() + due("1 day", "enabled = false"), "healthy", {
    seconds_behind: 0,
  }],
  ["a job is paused", scheduler() + due("1 day", paused("null")), "degraded", {
    seconds_behind: 0,
    paused_jobs: 1,
  }],
  ["a pause is over", scheduler() + due("-1 hour", paused("now()")), "healthy", { paused_jobs: 0 }],
  [
    "99.1 % of the runs complete",
    scheduler() + runs(220, "completed") + runs(2, "failed"),
    "healthy",
    {
      failed_percent: 0.9,
    },
  ],
  ["one in a hundred fails", scheduler() + runs(99, "completed") + runs(1, "failed"), "degraded", {
    failed_percent: 1,
  }],
  ["a fifth fails", scheduler() + runs(8, "completed") + runs(2, "failed"), "critical", {
    failed_percent: 20,
  }],
  [
    "what failed was tried again and worked",
    scheduler() + runs(9, "failed") +
    `insert into scheduler_runs (job_name, status, trigger, scheduled_for, attempt, completed_at, verdict)
     select job_name, 'completed', 'retry', scheduled_for, 2, now(), 'ok' from scheduler_runs;`,
    "healthy",
    { failed_percent: 0 },
  ],
  [
    "what failed and is being tried again is not a failure yet",
    scheduler() + runs(9, "failed") + runs(5, "completed") +
    `insert into scheduler_runs (job_name, status, trigger, scheduled_for, attempt, started_at)
     select job_name, 'running', 'retry', scheduled_for, 2, now() from scheduler_runs where status = 'failed';`,
    "healthy",
    { failed_percent: 0 },
  ],
  ["yesterday's failures are past", scheduler() + runs(9, "failed", "24 hours"), "healthy", {
    lost_runs: 0,
  }],
  [
    "a run was lost",
    scheduler() + runs(199, "completed") + runs(1, "failed", "1 hour", "lost"),
    "degraded",
    {
      lost_runs: 1,
    },
  ],
  [
    "ten runs were lost, though they were tried again",
    scheduler() + runs(10, "failed", "1 hour", "lost") +
    `insert into scheduler_runs (job_name, status, trigger, scheduled_for, attempt, completed_at, verdict)
     select job_name, 'completed', 'retry', scheduled_for, 2, now(), 'ok' from scheduler_runs;`,
    "critical",
    { lost_runs: 10, failed_percent: 0 },
  ],
  ["an occurrence was missed", scheduler() + runs(1, "missed", "1 hour", "missed"), "degraded", {
    missed_runs: 1,
  }],
  ["25 occurrences were missed", scheduler() + runs(25, "missed", "1 hour", "missed"), "critical", {
    missed_runs: 25,
  }],
  ["a run beats", scheduler() + active("running", "heartbeat_at", "5 minutes"), "healthy", {
    stuck_runs: 0,
  }],
  [
    "a run does not beat",
    scheduler() + active("running", "heartbeat_at", "301 seconds"),
    "degraded",
    {
      stuck_runs: 1,
    },
  ],
  [
    "five runs do not beat",
    scheduler() + active("running", "heartbeat_at", "301 seconds").repeat(5),
    "critical",
    { stuck_runs: 5 },
  ],
  [
    "a request may take its time",
    scheduler() + active("dispatched", "dispatched_at", "7 minutes"),
    "healthy",
    { stuck_runs: 0 },
  ],
  [
    "a request was forgotten",
    scheduler() + active("dispatched", "dispatched_at", "7 minutes 1 second"),
    "degraded",
    { stuck_runs: 1 },
  ],
  [
    "a retry waits for its time",
    scheduler() + active("queued", "run_after", "-1 hour"),
    "healthy",
    { stuck_runs: 0 },
  ],
  [
    "runs wait for one of many to end",
    scheduler() + active("queued", "run_after", "1 hour").repeat(3) +
    active("running", "heartbeat_at", "5 seconds") +
    "update scheduler_jobs set overlap_policy = 'allow', parallel_limit = 1;\n",
    "healthy",
    { stuck_runs: 0 },
  ],
  [
    "an alert waits to be delivered",
    scheduler() + undelivered("waiting", "4 minutes"),
    "healthy",
    { undelivered_alerts: 0 },
  ],
  ["an alert did not arrive", scheduler() + undelivered("failed", "1 hour"), "degraded", {
    undelivered_alerts: 1,
  }],
  ["a retry was forgotten", scheduler() + active("queued", "run_after", "1 hour"), "degraded", {
    stuck_runs: 1,
  }],
], empty);

/** A message to a channel, written so long ago. */
function undelivered(status: string, ago: string): string {
  return `insert into scheduler_alert_channels (name, kind) values ('ops', 'slack');
    insert into scheduler_alert_deliveries
      (channel, event, severity, message, status, written_at, send_after, finished_at)
    values ('ops', 'opened', 'warning', '{}', '${status}', now() - interval '${ago}', now(),
      case when '${status}' = 'failed' then now() - interval '${ago}' end);\n`;
}

/** A scheduler in order, with one job that is due in an hour. */
function scheduler(registered = "1 hour"): string {
  return empty + pulse("10 seconds") +
    `insert into scheduler_jobs (name, target, schedule, created_at, next_run_at)
     values ('job', 'job', '0 * * * *', now() - interval '${registered}', now() + interval '1 hour');\n`;
}
function pulse(ago: string): string {
  return `update scheduler.pulse_state set last_pulse_at = now() - interval '${ago}';\n`;
}
function due(ago: string, set = "enabled = true"): string {
  return `update scheduler_jobs set next_run_at = now() - interval '${ago}', ${set};\n`;
}
function paused(until: string): string {
  return `paused_at = now() - interval '1 hour', paused_until = ${until}, pause_reason = 'r', paused_by = 'p'`;
}
function runs(count: number, status: string, ago = "1 hour", verdict = "job_error"): string {
  return repeat(
    count,
    `insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict)
     select 'job', '${status}', 'cron', now() - interval '${ago}' - n * interval '1 second'
       - interval '1 day' * ${status.length}, now() - interval '${ago}',
       '${status === "completed" ? "ok" : verdict}'`,
  );
}
function active(status: string, column: string, ago: string): string {
  return `insert into scheduler_runs (job_name, status, trigger, scheduled_for, created_at, ${column})
    values ('job', '${status}', 'manual', now(), now() - interval '2 hours', now() - interval '${ago}');\n`;
}
