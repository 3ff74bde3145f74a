import { componentTests, repeat } from "../../support/system-health.ts";

componentTests("actions", [
  ["all is still to come", waiting("'-1 hour'"), "healthy", { overdue_seconds: 0 }],
  ["an action is due for a while", waiting("'14 minutes 59 seconds'"), "healthy", {
    overdue_seconds: 899,
  }],
  ["an action is overdue", waiting("'15 minutes'") + waiting("'-1 day'"), "degraded", {
    overdue_seconds: 900,
  }],
  ["an action is overdue for hours", waiting("'2 hours'"), "critical", { overdue_seconds: 7200 }],
  ["a retry waits for its time", waiting("'3 hours'", "now() + interval '1 minute'"), "healthy", {
    overdue_seconds: 0,
  }],
  ["one died", over(1, "dead"), "degraded", { dead_actions: 1, overdue_seconds: NaN }],
  ["25 died", over(25, "dead"), "critical", { dead_actions: 25 }],
  ["one died the day before", over(1, "dead", "25 hours"), "healthy", { dead_actions: 0 }],
  ["one was missed", over(1, "missed"), "degraded", { missed_actions: 1 }],
  ["100 were missed", over(100, "missed"), "critical", { missed_actions: 100 }],
  ["all were executed or cancelled", over(9, "completed") + over(9, "cancelled"), "healthy", {
    dead_actions: 0,
    missed_actions: 0,
  }],
]);

function waiting(dueAgo: string, nextAttempt = `now() - interval ${dueAgo}`): string {
  return `insert into scheduled_actions (kind, message, due_at, next_attempt_at)
    values ('reminder', 'water the plants', now() - interval ${dueAgo}, ${nextAttempt});\n`;
}

function over(count: number, status: string, ago = "1 hour"): string {
  const action = crypto.randomUUID();
  return `insert into scheduled_actions (id, kind, message, due_at, next_attempt_at, status, finished_at)
    values ('${action}', 'reminder', 'water the plants', now(), now(), 'completed', now());\n` +
    repeat(
      count,
      `insert into scheduled_action_occurrences (idempotency_key, action_id, scheduled_for, status, attempts, finished_at)
       select gen_random_uuid(), '${action}', now(), '${status}', 1, now() - interval '${ago}'`,
    );
}
