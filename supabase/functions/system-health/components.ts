/**
 * What system-health looks at: every component, its weight in the score, its figures and their default thresholds.
 *
 * The figures come from the SQL function `system_health_<component>()`, which says how each is counted. A threshold is
 * changed without a deployment by a row in app_settings; see docs/jobs/system-health.md.
 */

export type Unit = "percent" | "seconds" | "count" | "bytes";

export interface FigureDefinition {
  label: string;
  unit: Unit;
  /** `higher`: trouble from the threshold on. `lower`: trouble below the threshold. */
  worse: "higher" | "lower";
  /** null: never. */
  degraded: number | null;
  critical: number | null;
  /** Which of the details names the culprit; null: there is none to name. */
  culprit: string | null;
}

export interface ComponentDefinition {
  label: string;
  /** Points in the score; all weights add up to 100, and each is even so that half of it is whole. */
  weight: number;
  /** The most telling figures first: a healthy component is reported with its first two. */
  figures: Record<string, FigureDefinition>;
}

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;
const never = null;

const figure = (worse: "higher" | "lower") =>
(
  label: string,
  unit: Unit,
  degraded: number | null,
  critical: number | null,
  culprit: string | null = null,
): FigureDefinition => ({ label, unit, worse, degraded, critical, culprit });

const from = figure("higher");
const below = figure("lower");

//                                                          unit       degraded   critical
export const components = {
  database: {
    label: "Database",
    weight: 18,
    figures: {
      connections_percent: from("connections in use", "percent", 70, 90),
      cache_hit_percent: below("cache hit", "percent", 95, 80),
      oldest_transaction_seconds: from("oldest transaction", "seconds", 5 * minute, 1 * hour),
      dead_rows_percent: from("dead rows in a table", "percent", 40, 75, "most_dead_rows_in"),
      // Postgres stops writing at about 2.1 billion; autovacuum acts at 0.2 billion.
      transaction_id_age: from("transaction id age", "count", 500_000_000, 1_200_000_000),
      // What is too big depends on what was bought: give it a threshold in app_settings.
      size_bytes: from("size", "bytes", never, never),
    },
  },
  scheduler: {
    label: "Scheduler",
    weight: 18,
    figures: {
      pulse_age_seconds: from("last pulse", "seconds", 3 * minute, 10 * minute),
      failed_percent: from("failed in 24 h", "percent", 1, 20),
      seconds_behind: from("behind schedule", "seconds", 3 * minute, 15 * minute, "most_behind"),
      lost_runs: from("lost in 24 h", "count", 1, 10),
      missed_runs: from("missed in 24 h", "count", 1, 25),
      stuck_runs: from("stuck runs", "count", 1, 5, "oldest_stuck"),
      paused_jobs: from("paused jobs", "count", 1, never),
    },
  },
  devices: {
    label: "Devices",
    weight: 10,
    figures: {
      seen_percent: below("seen in 24 h of those in 7 days", "percent", 50, 20),
      silent_sessions_percent: from("sessions without heartbeat", "percent", 10, 50),
      error_events_percent: from("errors of reported events", "percent", 5, 20),
      metrics_behind_seconds: from("metrics behind", "seconds", 2 * hour, 6 * hour),
    },
  },
  charging: {
    label: "Charging",
    weight: 6,
    figures: {
      efficiency_percent: below("efficiency", "percent", 70, 50),
      interrupted_percent: from("interrupted", "percent", 20, 50),
      silent_sessions_percent: from("charging without a reading", "percent", 10, 50),
    },
  },
  pop: {
    label: "PoP",
    weight: 4,
    figures: {
      validated_percent: below("validated", "percent", 80, 50),
      oldest_pending_seconds: from("oldest pending event", "seconds", 1 * day, 3 * day),
    },
  },
  commands: {
    label: "Commands",
    weight: 4,
    figures: {
      failed_percent: from("failed", "percent", 20, 50),
      expired_percent: from("expired", "percent", 20, 50),
      undelivered_commands: from("not handed over", "count", 1, 50),
      overdue_commands: from("past their time", "count", 1, 100),
    },
  },
  actions: {
    label: "Scheduled actions",
    weight: 4,
    figures: {
      overdue_seconds: from("most overdue", "seconds", 15 * minute, 2 * hour, "most_overdue"),
      dead_actions: from("dead in 24 h", "count", 1, 25),
      missed_actions: from("missed in 24 h", "count", 1, 100),
    },
  },
  batches: {
    label: "Daily batch",
    weight: 6,
    figures: {
      // Its ticks come every 15 minutes.
      not_begun_seconds: from("due and not begun", "seconds", 20 * minute, 1 * hour),
      failed_percent: from("failed in 24 h", "percent", 10, 50, "failed_mostly"),
      stuck_jobs: from("stuck batch jobs", "count", 1, 25),
      // After six hours of waiting for a provider, tasks fail.
      oldest_open_seconds: from("oldest open batch job", "seconds", 4 * hour, 8 * hour),
      providers_down: from("providers down", "count", 1, never, "down"),
    },
  },
  agents: {
    label: "Agents",
    weight: 6,
    figures: {
      error_percent: from("agents in error", "percent", 10, 50, "first_in_error"),
      silent_percent: from("agents without heartbeat", "percent", 10, 50),
    },
  },
  tasks: {
    label: "Tasks",
    weight: 6,
    figures: {
      failed_percent: from("failed in 24 h", "percent", 10, 30),
      overdue_percent: from("overdue", "percent", 10, 50),
      stuck_tasks: from("stuck tasks", "count", 1, 10),
      oldest_pending_seconds: from("oldest pending task", "seconds", 1 * day, 7 * day),
    },
  },
  conversations: {
    label: "Conversations",
    weight: 4,
    figures: {
      unanswered_percent: from("unanswered", "percent", 10, 40),
      failed_percent: from("failed in 24 h", "percent", 5, 25),
      longest_wait_seconds: from("longest wait", "seconds", 1 * hour, 12 * hour),
    },
  },
  api_keys: {
    label: "API keys",
    weight: 8,
    figures: {
      unusable_keys: from("invalid or expired keys", "count", never, 1, "unusable_at"),
      troubled_keys: from("unreachable or limited", "count", 1, never),
      most_failures: from("failures in a row", "count", 3, 10),
      expires_in_seconds: below("next expiry in", "seconds", 14 * day, 3 * day, "expires_first"),
      rate_limit_left_percent: below("rate limit left", "percent", 10, 1),
      // They are checked every 6 hours.
      check_age_seconds: from("oldest check", "seconds", 13 * hour, 49 * hour),
    },
  },
  python: {
    label: "Python executions",
    weight: 4,
    figures: {
      failed_percent: from("failed in 24 h", "percent", 20, 50),
      timed_out_percent: from("timed out in 24 h", "percent", 10, 30),
      stuck_executions: from("stuck executions", "count", 1, 5),
      oldest_queued_seconds: from("oldest queued", "seconds", 10 * minute, 1 * hour),
    },
  },
  code: {
    label: "Code failures",
    weight: 2,
    figures: {
      open_causes: from("open causes", "count", 10, 100),
      came_back: from("came back after a fix", "count", 1, 10),
      // The monitor comes every two hours.
      unseen_seconds: from("not looked at for", "seconds", 5 * hour, 1 * day),
      oldest_proposal_seconds: from("oldest proposal waits", "seconds", 3 * day, 14 * day),
    },
  },
} as const satisfies Record<string, ComponentDefinition>;

export type ComponentName = keyof typeof components;

export const componentNames = Object.keys(components) as ComponentName[];

/** The definitions, typed for walking over them. */
export const definitions: Readonly<Record<ComponentName, ComponentDefinition>> = components;
