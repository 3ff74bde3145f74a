/** The shapes of the API's answers, as openapi.json describes them. */
import { z } from "@hono/zod-openapi";

const momentText = z.iso.datetime({ offset: true });
const momentDescription = { description: "A moment, ISO 8601 with its offset" };
export const moment = momentText.openapi(momentDescription);
/** A moment that a caller gives. Answers say it in UTC, in which ISO 8601 has no other years. */
export const givenMoment = momentText.refine((text) => {
  const year = new Date(text).getUTCFullYear();
  return year >= 1 && year <= 9999;
}, "must lie in the years 1 to 9999 of UTC").openapi(momentDescription);
const count = z.number().int();
const cursor = z.string().nullable().openapi({
  description: "What to send as `cursor` for the next page; null: this is the last one",
});
const json = z.record(z.string(), z.unknown());

export const problem = z.strictObject({
  error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string().optional() }),
}).openapi("Error");

const run = z.strictObject({
  run_id: z.uuid(),
  job: z.string(),
  status: z.enum([
    "queued",
    "dispatched",
    "running",
    "completed",
    "failed",
    "deferred",
    "skipped",
    "missed",
    "cancelled",
  ]),
  trigger: z.string(),
  time_zone: z.string().nullable(),
  scheduled_for: moment,
  scheduled_until: moment.nullable(),
  occurrences: count,
  attempt: count,
  max_attempts: count,
  key: z.string().nullable(),
  created_at: moment,
  dispatched_at: moment.nullable(),
  started_at: moment.nullable(),
  heartbeat_at: moment.nullable(),
  completed_at: moment.nullable(),
  duration_ms: count.nullable(),
  verdict: z.string().nullable(),
  skip_kind: z.string().nullable(),
  skip_reason: z.string().nullable(),
  error_message: z.string().nullable(),
  summary: z.string().nullable(),
  waits_for: z.string().nullable(),
}).openapi("Run");

const state = z.enum([
  "healthy",
  "failing",
  "overdue",
  "late",
  "paused",
  "breaker_open",
  "waiting",
  "disabled",
]);

const budgets = z.record(z.string(), z.strictObject({ tokens: z.number(), capacity: z.number() }))
  .openapi("Budgets");

export const status = z.strictObject({
  timestamp: moment,
  sentence: z.string(),
  incident: z.strictObject({ started_at: moment, started_by: z.string(), reason: z.string() })
    .nullable(),
  pulse_age_seconds: z.number().nullable(),
  counts: z.partialRecord(state, count),
  jobs: z.array(z.strictObject({
    job: z.string(),
    alias: z.string().nullable(),
    description: z.string(),
    target: z.string(),
    schedule: z.string().nullable(),
    time_zone: z.string(),
    continuous: z.boolean(),
    state,
    stopped_by: z.string().nullable(),
    waits_for: z.string().nullable(),
    unsuccessful_occurrences: count,
    last_run: run.nullable(),
    next_run_at: moment.nullable(),
    lock: z.strictObject({
      run_id: z.uuid(),
      holder: z.string(),
      acquired_at: moment,
      expires_at: moment,
    }).nullable(),
    breaker: z.strictObject({
      state: z.enum(["closed", "open", "half-open"]),
      failures: count,
      opened_at: moment.nullable(),
    }).nullable(),
    parallel: z.strictObject({
      least: count.nullable().openapi({ description: "null: it is always as many as most" }),
      most: count,
      in_force: count.openapi({ description: "How many runs may be under way at once now" }),
    }).nullable(),
    stretch: z.strictObject({
      idle_in_row: count.openapi({ description: "How many runs in a row found nothing" }),
      asked_again_at: moment.nullable().openapi({
        description: "The occurrence before which all are left out; null: none is",
      }),
    }).nullable(),
    budgets,
    group: z.string().nullable(),
    callable: z.boolean().openapi({
      description:
        "Whether an outside clock may call it: serveJob() serves it, with the cron secret",
    }),
  })),
  next_cursor: cursor,
}).openapi("Status");

const service = {
  service: z.string(),
  job: z.string(),
  last_run: moment.nullable(),
  age_seconds: count.nullable(),
  status: z.enum(["HEALTHY", "STALLED"]),
  state,
  due_without_success: count,
};

export const health = z.looseObject({
  timestamp: moment,
  services: z.array(z.strictObject(service)),
  stalled_services: z.array(z.string()),
  budgets,
}).openapi("Health", { description: "Packs add further keys" });

export const healthOfJob = z.strictObject({
  ...service,
  timestamp: moment,
  heartbeats: z.array(z.strictObject({
    run_id: z.uuid(),
    started_at: moment,
    heartbeat_at: moment,
    age_seconds: count,
    progress: json.nullable(),
  })),
  durations: z.strictObject({
    runs: count,
    average_ms: z.number().nullable(),
    p50_ms: z.number().nullable(),
    p95_ms: z.number().nullable(),
    p99_ms: z.number().nullable(),
    longest_ms: z.number().nullable(),
  }),
  errors: z.strictObject({
    failed: count,
    missed: count,
    lost: count,
    failed_in_row: count,
    missed_in_row: count,
    last: z.strictObject({
      run_id: z.uuid(),
      at: moment,
      verdict: z.string(),
      message: z.string().nullable(),
    }).nullable(),
  }),
  budgets,
}).openapi("HealthOfJob");

const timing = z.strictObject({
  average_ms: z.number().nullable(),
  p50_ms: z.number().nullable(),
  p95_ms: z.number().nullable(),
  p99_ms: z.number().nullable(),
}).openapi("Timing");

const window = z.strictObject({
  from: moment.nullable().openapi({
    description: "Since when it is told; null: nothing is known, and all else is null",
  }),
  runs: count.nullable().openapi({ description: "Completed, failed or deferred" }),
  completed: count.nullable(),
  failed: count.nullable(),
  deferred: count.nullable(),
  success_rate: z.number().min(0).max(1).nullable().openapi({
    description: "Of the runs that completed or failed; null without any",
  }),
  cancelled: count.nullable(),
  skipped: count.nullable(),
  missed: count.nullable(),
  lost: count.nullable(),
  retries: count.nullable(),
  duration: timing,
  fire_lag: timing,
}).openapi("Window");

export const metrics = z.strictObject({
  timestamp: moment,
  jobs: z.array(z.strictObject({
    job: z.string(),
    alias: z.string().nullable(),
    group: z.string().nullable(),
    windows: z.strictObject({ "1h": window, "24h": window, "7d": window, "30d": window }),
  })),
  next_cursor: cursor,
}).openapi("Metrics");

export const history = z.strictObject({
  ordered_by: z.enum(["created_at", "completed_at"]),
  runs: z.array(run),
  next_cursor: cursor,
}).openapi("History");

export const failures = z.strictObject({
  timestamp: moment,
  since: moment,
  jobs: z.array(z.strictObject({
    job: z.string(),
    failed: count,
    missed: count,
    first_at: moment,
    last_run: run,
    remedy: z.string().nullable(),
    retry: run.nullable(),
    last_success_at: moment.nullable(),
    next_run_at: moment.nullable(),
  })),
  next_cursor: cursor,
}).openapi("Failures");

export const logs = z.strictObject({
  lines: z.array(z.strictObject({
    at: moment,
    source: z.string(),
    severity: z.enum(["info", "warning", "error"]),
    message: z.string(),
    run: run.nullable(),
    activity_id: count.nullable(),
  })),
  next_cursor: cursor,
}).openapi("Logs");

export const runPage = z.strictObject({
  run,
  sentence: z.string(),
  meaning: z.string().nullable(),
  remedy: z.string().nullable(),
  payload: json,
  progress: json.nullable(),
  result: json.nullable(),
  error_message: z.string().nullable(),
  error_detail: z.unknown(),
  interval: z.strictObject({ from: moment.nullable(), to: moment }),
  run_after: moment.nullable(),
  waiting: json.nullable(),
  waits: z.string().nullable(),
  witnesses: z.strictObject({
    pg_cron: json.nullable(),
    pg_net: z.strictObject({
      request_id: count,
      dispatched_at: moment,
      answered_at: moment.nullable(),
      response_status: count.nullable(),
      response_error: z.string().nullable(),
    }).nullable(),
    receipt: z.strictObject({
      started_at: moment,
      heartbeat_at: moment.nullable(),
      completed_at: moment.nullable(),
    }).nullable(),
  }),
  attempts: z.array(run),
}).openapi("RunPage");

export const explanation = z.strictObject({
  job: z.string(),
  at: moment,
  kind: z.string(),
  sentence: z.string(),
  facts: json,
}).openapi("Explanation");

export const next = z.strictObject({
  timestamp: moment,
  occurrences: z.array(z.strictObject({
    job: z.string(),
    run_at: moment.nullable(),
    local_time: z.string().nullable(),
    time_zone: z.string(),
    note: z.string().nullable(),
  })),
  next_cursor: cursor,
}).openapi("Next");

export const timeline = z.strictObject({
  timestamp: moment,
  from: moment,
  to: moment,
  cell_seconds: count,
  jobs: z.array(z.strictObject({
    job: z.string(),
    time_zone: z.string(),
    cells: z.array(z.strictObject({
      at: moment,
      completed: count.optional(),
      failed: count.optional(),
      deferred: count.optional(),
      skipped: count.optional(),
      missed: count.optional(),
      cancelled: count.optional(),
      under_way: count.optional(),
      waiting: count.optional(),
      to_come: count.optional(),
    })),
  })),
  zone_changes: z.array(z.strictObject({
    time_zone: z.string(),
    at: moment,
    offset_before_seconds: z.number(),
    offset_seconds: z.number(),
  })),
  next_cursor: cursor,
}).openapi("Timeline");

export const auditLog = z.strictObject({
  entries: z.array(z.strictObject({
    id: count,
    occurred_at: moment,
    author: z.string(),
    verb: z.string(),
    subject_type: z.string(),
    subject: z.string(),
    reason: z.string().nullable(),
    before: z.unknown(),
    after: z.unknown(),
  })),
  next_cursor: cursor,
}).openapi("AuditLog");

const severity = z.enum(["info", "warning", "critical"]);

export const channels = z.strictObject({
  timestamp: moment,
  channels: z.array(z.strictObject({
    name: z.string(),
    kind: z.enum(["slack", "discord", "teams", "email", "pagerduty", "webhook", "dead_man"]),
    enabled: z.boolean(),
    least_severity: severity,
    jobs: z.array(z.string()).openapi({
      description: "With groups: only alerts of these; both empty: all",
    }),
    groups: z.array(z.string()),
    quiet: z.strictObject({
      from: z.string(),
      until: z.string(),
      time_zone: z.string(),
      now: z.boolean(),
    }).nullable(),
    fault: z.string().nullable().openapi({
      description: "What is wrong with what Vault holds for it; null when nothing is",
    }),
    waiting: count,
    last_delivery: z.strictObject({
      event: z.string(),
      severity: severity.nullable(),
      at: moment,
    }).nullable(),
    last_error: z.strictObject({
      event: z.string(),
      at: moment.nullable(),
      response_status: count.nullable(),
      message: z.string().nullable(),
      tries: count,
      given_up: z.boolean(),
    }).nullable(),
  })),
  next_cursor: cursor,
}).openapi("Channels");

export const verification = z.strictObject({
  timestamp: moment,
  ok: z.boolean(),
  checks: z.array(z.strictObject({
    check: z.string(),
    state: z.enum(["ok", "failed", "asked"]),
    detail: z.string(),
  })),
}).openapi("Verification");

/** What a verb says that it did. */
export const message = z.strictObject({ message: z.string() }).openapi("Message");

export const newRun = z.strictObject({ run_id: z.uuid() }).openapi("NewRun");

export const released = z.strictObject({
  released: z.array(z.strictObject({ job: z.string(), message: z.string() })),
}).openapi("Released");

export const backfilled = z.strictObject({
  preview: z.boolean(),
  occurrences: z.array(
    z.strictObject({ scheduled_for: moment, state: z.string(), becomes: z.string() }),
  ),
}).openapi("Backfilled");

export const tick = z.strictObject({
  timestamp: moment,
  beat: z.boolean(),
  more: z.boolean(),
  errors: z.record(z.string(), z.string()),
}).openapi("Tick");
