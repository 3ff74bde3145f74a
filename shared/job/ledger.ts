import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../database.types.ts";
import type { JsonObject } from "./define-job.ts";
import { storableJson } from "./storable-json.ts";

type Client = SupabaseClient<Database>;

/** A run that this function alone has begun. */
export interface BegunRun {
  begun: true;
  run_id: string;
  job_name: string;
  scheduled_for: string;
  attempt: number;
  trigger: string;
  timeout_seconds: number;
  heartbeat_seconds: number;
  interval_from: string;
  interval_to: string;
}

/**
 * Why a run may not begin; `busy` names the run that is at work, `unknown job` the jobs there are, `already` the run of
 * the newest occurrence, null when there is none.
 */
export interface RefusedRun {
  begun: false;
  reason: string;
  run_id?: string | null;
  since?: string;
  jobs?: string[];
  status?: string | null;
  message?: string;
}

/** How a run ended. */
export interface Receipt {
  outcome: "completed" | "failed" | "timed_out" | "interrupted" | "deferred";
  result?: JsonObject;
  errorMessage?: string;
  errorDetail?: JsonObject;
  retryable?: boolean;
  /** Of a deferred run: from when on it may be resumed (ISO 8601). */
  resumeAt?: string;
}

/** The ledger did not answer, or answered with an error. */
export class LedgerError extends Error {
  override readonly name = "LedgerError";
}

/** The receipts a function gives for its run, and what it may ask of the registry. */
export interface Ledger {
  /** The payload a job is registered with; undefined when the function serves no job of that name. */
  registeredPayload(functionName: string, jobName: string): Promise<JsonObject | undefined>;
  /** The names of the jobs that the function serves, at most 100, ascending. */
  jobNames(functionName: string): Promise<string[]>;
  begin(runId: string, functionName: string, holder: string): Promise<BegunRun | RefusedRun>;
  beginManual(
    functionName: string,
    jobName: string | null,
    payload: JsonObject,
    holder: string,
  ): Promise<BegunRun | RefusedRun>;
  /** Begins the occurrence that is due, unless it has begun: `already`. */
  beginDue(
    functionName: string,
    jobName: string | null,
    holder: string,
  ): Promise<BegunRun | RefusedRun>;
  /** False when the run is over and its work should stop. */
  heartbeat(runId: string, progress: JsonObject | null): Promise<boolean>;
  /** Null when the receipt was taken, else why not (the run was over already). Safe to repeat. */
  finish(runId: string, receipt: Receipt): Promise<string | null>;
}

/** A call that the database may answer, or that is given up when the signal fires. */
interface Call {
  abortSignal(
    signal: AbortSignal,
  ): PromiseLike<{ data: unknown; error: { message: string } | null }>;
}

/** @param timeoutMs How long a call may go unanswered; then it fails with a LedgerError. */
export function createLedger(db: Client, timeoutMs = 8_000): Ledger {
  async function call<T>(work: Call) {
    const { data, error } = await work.abortSignal(AbortSignal.timeout(timeoutMs));
    if (error) throw new LedgerError(error.message);
    return data as T;
  }
  return {
    registeredPayload: async (functionName, jobName) => {
      const jobs = await call<{ payload: JsonObject }[]>(
        db.from("scheduler_jobs").select("payload").eq("function_name", functionName).eq(
          "name",
          jobName,
        ),
      );
      return jobs[0]?.payload;
    },
    jobNames: async (functionName) => {
      const jobs = await call<{ name: string }[]>(
        db.from("scheduler_jobs").select("name").eq("function_name", functionName).order("name")
          .limit(100),
      );
      return jobs.map(({ name }) => name);
    },
    begin: (runId, functionName, holder) =>
      call(db.rpc("scheduler_begin_run", {
        p_run_id: runId,
        p_function_name: functionName,
        p_holder: holder,
      })),
    beginManual: (functionName, jobName, payload, holder) =>
      call(db.rpc("scheduler_begin_manual_run", {
        p_function_name: functionName,
        ...(jobName === null ? {} : { p_job_name: jobName }),
        p_payload: payload,
        p_holder: holder,
      })),
    beginDue: (functionName, jobName, holder) =>
      call(db.rpc("scheduler_begin_due_run", {
        p_function_name: functionName,
        ...(jobName === null ? {} : { p_job_name: jobName }),
        p_holder: holder,
      })),
    heartbeat: async (runId, progress) =>
      (await call<{ running: boolean }>(db.rpc("scheduler_heartbeat_run", {
        p_run_id: runId,
        ...(progress === null ? {} : { p_progress: progress }),
      }))).running,
    finish: async (runId, receipt) => {
      // A character that Postgres cannot hold must not cost the receipt.
      const { outcome, result, errorMessage, errorDetail, retryable, resumeAt } = storableJson(
        receipt,
      );
      const answer = await call<{ finished: boolean; reason?: string }>(
        db.rpc("scheduler_finish_run", {
          p_run_id: runId,
          p_outcome: outcome,
          ...(result === undefined ? {} : { p_result: result }),
          ...(errorMessage === undefined ? {} : { p_error_message: errorMessage }),
          ...(errorDetail === undefined ? {} : { p_error_detail: errorDetail }),
          ...(retryable === undefined ? {} : { p_retryable: retryable }),
          ...(resumeAt === undefined ? {} : { p_resume_at: resumeAt }),
        }),
      );
      return answer.finished ? null : answer.reason ?? "refused";
    },
  };
}
