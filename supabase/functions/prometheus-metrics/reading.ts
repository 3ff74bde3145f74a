import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../../shared/database.types.ts";
import { errorMessage, HttpError } from "../../../shared/job/errors.ts";

/** The result of `public.prometheus_metrics()`: all metrics of a scrape, read at one moment. */
export interface Reading {
  /** The metric families in the order of the text. */
  families: { name: string; type: "counter" | "gauge" | "histogram"; help: string }[];
  sources: Group[][];
  /** The errors of sources that could not be read, by the name of the function. */
  errors: Record<string, string>;
}

/** Series that share their label sets, built by `scheduler.metric_group`. */
export interface Group {
  /** The value of each label in each set. Without labels there is one set. */
  labels: Record<string, string[] | null>;
  series: (ValueSeries | HistogramSeries)[];
}

export interface ValueSeries {
  family: string;
  /** Labels that are added to each set. */
  labels: Record<string, string>;
  /** The value for each label set; null gives no sample. */
  values: (number | null)[] | null;
}

export interface HistogramSeries {
  family: string;
  /** Upper bounds of the buckets, ascending, without +Inf. */
  bounds: number[];
  /** The observations of each bucket alone, for each label set; one bucket more than there are bounds. */
  counts: number[][] | null;
  sums: number[] | null;
}

/** Prometheus waits for ten seconds by default. This is shorter, so that Prometheus gets the error's reason. */
const patienceMs = 8_000;

/**
 * Reads all metrics in one round trip.
 *
 * @throws HttpError 503 `database_unavailable` when the database gives an error or no answer.
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
