import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../../shared/database.types.ts";
import { errorMessage, HttpError } from "../../../shared/errors.ts";

/** What `public.prometheus_metrics()` returns: everything a scrape shows, read at one moment. */
export interface Reading {
  scheduler: SchedulerReading;
  fleet: FleetReading;
  platform: PlatformReading;
  batches: BatchesReading;
}

export interface SchedulerReading {
  /** Upper bounds of the buckets of durations, in milliseconds. */
  duration_bounds_ms: number[];
  /** Upper bounds of the buckets of fire lags, in milliseconds. */
  fire_lag_bounds_ms: number[];
  locks_open: number;
  pulse_age_seconds: number;
  pulse_errors: number;
  jobs: JobReading[];
}

/** One registered job; the order is that of `scheduler.job_metrics`. */
export type JobReading = [
  name: string,
  enabled: boolean,
  paused: boolean,
  overdueSeconds: number,
  lastSuccessAgeSeconds: number | null,
  completed: number,
  failed: number,
  skipped: number,
  missed: number,
  cancelled: number,
  lost: number,
  retries: number,
  failedInRow: number,
  missedInRow: number,
  leftOut: Record<string, number>,
  durationCounts: number[],
  durationSumMs: number,
  fireLagCounts: number[],
  fireLagSumMs: number,
];

export interface FleetReading {
  devices: number;
  active_devices: number;
  charging_sessions: number;
  /** Null when no energy of the last day has a known efficiency. */
  charging_efficiency_percent: number | null;
  pop_events: number;
  pop_events_validated: number;
  pop_events_rejected: number;
  pop_points: number;
  commands: number;
  /** Statuses that no command has are not there. */
  commands_by_status: Record<string, number>;
  summarized_age_seconds: number;
}

export interface PlatformReading {
  actions_waiting: number;
  actions_overdue_seconds: number;
  /** Statuses that no occurrence has are not there. */
  occurrences_by_status: Record<string, number>;
  api_keys: [provider: string, keyName: string, status: string, expiresInSeconds: number | null][];
  open_code_failure_causes: number;
  pending_code_fix_proposals: number;
}

export interface BatchesReading {
  not_begun_seconds: number;
  open: number;
  oldest_open_seconds: number;
  /** Of batch jobs that ended in the last 24 hours. */
  tasks_by_status: { completed: number; failed: number };
  /** By the name of the provider. */
  failures_in_row: Record<string, number>;
}

/** Prometheus waits for ten seconds unless told otherwise; it should get to read why there is nothing. */
const patienceMs = 8_000;

/**
 * Reads everything in one round trip.
 *
 * @throws HttpError 503 `database_unavailable` when the database gives no answer, or an error.
 */
export async function readMetrics(db: SupabaseClient<Database>): Promise<Reading> {
  const { data, error } = await db.rpc("prometheus_metrics")
    .abortSignal(AbortSignal.timeout(patienceMs));
  if (error !== null || data === null) {
    throw new HttpError(
      503,
      "database_unavailable",
      `Cannot read the metrics: ${errorMessage(error ?? "the answer was empty")}`.slice(0, 500),
      "is the database up, and are the migrations applied?",
    );
  }
  return data as unknown as Reading;
}
