import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../../shared/database.types.ts";
import { errorMessage, HttpError } from "../../../shared/job/errors.ts";

/** What `public.prometheus_metrics()` returns: everything a scrape shows, read at one moment. */
export interface Reading {
  /** In the order in which they are shown. */
  families: { name: string; type: "counter" | "gauge" | "histogram"; help: string }[];
  sources: Group[][];
  /** By the name of the function: why a source could not be read. */
  errors: Record<string, string>;
}

/** Series that have their label sets in common, as `scheduler.metric_group` puts them together. */
export interface Group {
  /** By label, its value in each set; without labels there is one set. */
  labels: Record<string, string[] | null>;
  series: (ValueSeries | HistogramSeries)[];
}

export interface ValueSeries {
  family: string;
  /** Added to each label set. */
  labels: Record<string, string>;
  /** For each label set; null: none. */
  values: (number | null)[] | null;
}

export interface HistogramSeries {
  family: string;
  /** Upper bounds of the buckets, ascending, without +Inf. */
  bounds: number[];
  /** For each label set, observations in each bucket alone; one more than there are bounds. */
  counts: number[][] | null;
  sums: number[] | null;
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
