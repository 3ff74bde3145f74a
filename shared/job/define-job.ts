import type { SupabaseClient } from "@supabase/supabase-js";
import type { z } from "zod";
import type { Database } from "../database.types.ts";
import type { HttpClient } from "../http-client.ts";
import type { Budget } from "./budget.ts";
import type { Logger } from "./logger.ts";

/** What JSON can hold. */
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
export type JsonObject = { [key: string]: JsonValue | undefined };

/** What a job is given besides its input. `D` are the types of the database, where a job has its own. */
export interface JobContext<D = Database> {
  /** The database, as `service_role`. */
  readonly db: SupabaseClient<D>;
  /** Outgoing HTTP with timeout and retries. */
  readonly http: HttpClient;
  readonly log: Logger;
  /** Fires at the deadline, when the run is cancelled, and when the platform shuts the function down. */
  readonly signal: AbortSignal;
  /** The name of the registered job; one function can serve several. */
  readonly jobName: string;
  readonly runId: string;
  /** The occurrence; for a manual run the moment of the call. */
  readonly scheduledFor: Date;
  /** What the run stands for: from the occurrence before its own (for a call by hand the last one) to its own. */
  readonly interval: { readonly from: Date; readonly to: Date };
  readonly attempt: number;
  /** A budget of an outside API, by the name with which it is registered. */
  budget(name: string): Budget;
  /** An environment variable, `undefined` when it is not set or empty. */
  env(name: string): string | undefined;
  now(): Date;
  /** How long the job may still work: until its deadline or the end of the wall clock, whichever is first. */
  remainingMs(): number;
  /**
   * Counts the steps of a run that goes on for long: true for the first `maximum` calls, as long as there is time and
   * the signal has not fired. A continuous job ends after so many, because a request has 2 s of CPU; the next run
   * begins at once.
   */
  nextStep(maximum: number): boolean;
  /** Kept in `scheduler_runs.progress`, written with the next heartbeat. */
  reportProgress(progress: JsonObject): void;
}

export interface JobDefinition<S extends z.ZodType = z.ZodType, D = Database> {
  /** The function's slug and folder. */
  readonly name: string;
  /** The input: validated before a run begins, with its defaults. */
  readonly input: S;
  /**
   * Environment variables whose values never appear in a log, a result, progress or an error. `*_KEY` stands for
   * all whose names end in `_KEY`, for a job that learns the names elsewhere; of these, values under 8 characters
   * are left alone.
   */
  readonly secrets?: readonly string[];
  /**
   * The work. What it returns is kept as the run's result; a `summary` in it is what lists show, and with
   * `notable` (`"info"`, `"warning"` or `"error"`) beside it a line in `scheduler_activity`. With `idle: true` the next
   * run of a continuous job begins only after the job's idle time. What it throws fails
   * the run, which is then retried, unless it is a `PermanentError`; a `DeferredError` of a budget, which the job lets
   * pass, ends the run to be resumed when there are tokens. When `context.signal` fires it should stop;
   * returning then, with what is done so far, completes the run.
   */
  run(input: z.output<S>, context: JobContext<D>): Promise<JsonObject>;
}

/** Describes a job. It does nothing but give the compiler the types. */
export function defineJob<S extends z.ZodType, D = Database>(
  definition: JobDefinition<S, D>,
): JobDefinition<S, D> {
  return definition;
}
