import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { databaseError } from "../../../shared/database-error.ts";
import { errorMessage, PermanentError } from "../../../shared/job/errors.ts";
import { storableJson } from "../../../shared/job/storable-json.ts";

/** A call through REST is killed after 8 s. */
const callMs = 10_000;

const count = z.int().nonnegative();
const provider = z.object({
  model: z.string(),
  api_url_variable: z.string(),
  api_key_variable: z.string(),
  concurrency: z.int().positive(),
  max_completion_tokens: z.int().positive(),
  /** Its breaker is half-open: one call tries whether it is back. */
  half_open: z.boolean(),
});
const claimed = z.object({
  /** "unknown": there is no such batch job. */
  status: z.string(),
  /** It ended with this call. */
  ended: z.boolean(),
  tasks: z.array(z.object({
    id: z.int(),
    answerer: z.string().nullable(),
    prompt: z.string().nullable(),
    /** Why it is not to be called but reported. */
    problem: z.string().nullable(),
  })),
  providers: z.record(z.string(), provider),
  more: z.array(z.string()),
  next_in_ms: count.nullable(),
  open: count,
  settings: z.object({
    call_timeout_seconds: z.int().positive(),
    heartbeat_seconds: z.int().positive(),
  }),
});
const finished = z.object({
  accepted: count,
  refused: count,
  completed: count,
  failed: count,
  status: z.string(),
  ended: z.boolean(),
  open: count,
  open_breakers: z.array(z.string()),
});

export type Claimed = z.output<typeof claimed>;
export type Finished = z.output<typeof finished>;
export type Provider = z.output<typeof provider>;

/** A task that is to be called. */
export interface Task {
  id: number;
  answerer: string;
  prompt: string;
}

/** What came of a task; finish_batch_tasks says what each outcome leads to. */
export interface Result {
  id: number;
  outcome: "answered" | "refused" | "unusable" | "failed" | "waiting" | "cut";
  /** The provider that was asked. Absent when none was. */
  answerer?: string;
  reason?: string;
  answer?: string;
  model?: string;
  latency_ms?: number;
  prompt_tokens?: number | undefined;
  completion_tokens?: number | undefined;
  wait_seconds?: number;
  /** The provider asks to wait because it is down: the task's fall-back may be asked. */
  provider_is_down?: boolean;
  /** The provider answered, though not with what can be used: it is not down. */
  provider_answered?: boolean;
}

/** The transactions of which a run consists, all with one token of its own. */
export interface Steps {
  /** The oldest batch job that is not over. */
  oldestOpen(): Promise<string | undefined>;
  /** @param busy How many tasks of each answerer are held already. */
  claim(batchJobId: string, busy: Record<string, number>): Promise<Claimed>;
  /** Returns the batch job's status. It is not tried again, because the next heartbeat comes. */
  heartbeat(batchJobId: string): Promise<string>;
  finish(batchJobId: string, results: readonly Result[]): Promise<Finished>;
  /** Gives back these tasks, or all that are leased. Returns how many. */
  release(batchJobId: string, ids?: readonly number[]): Promise<number>;
  /** Has the next run called, not before then. */
  continueAt(batchJobId: string, at: Date): Promise<void>;
}

interface Call {
  abortSignal(
    signal: AbortSignal,
  ): PromiseLike<
    { data: unknown; error: { code?: string; message: string } | null }
  >;
}

/**
 * While the database cannot be reached a step is tried again until the run's time is over.
 *
 * @throws PermanentError for what the database refuses, Error for all else.
 */
export function createSteps(
  { db, log, now, remainingMs, signal }: JobContext,
): Steps {
  const p_token = crypto.randomUUID();
  async function once(step: string, call: Call): Promise<unknown> {
    const { data, error } = await call.abortSignal(AbortSignal.timeout(callMs));
    if (error === null) return data;
    throw databaseError(step, error);
  }
  async function persistently(
    step: string,
    call: () => Call,
  ): Promise<unknown> {
    for (let backoffMs = 200;; backoffMs = Math.min(2 * backoffMs, 3_000)) {
      try {
        return await once(step, call());
      } catch (error) {
        if (
          error instanceof PermanentError || signal.aborted ||
          remainingMs() < 2 * backoffMs
        ) {
          throw error;
        }
        log.warn("the database does not answer, trying again", {
          error: errorMessage(error),
        });
        await new Promise((done) => setTimeout(done, backoffMs));
      }
    }
  }
  return {
    oldestOpen: async () =>
      z.array(z.object({ id: z.string() })).parse(
        await persistently("find a batch job", () =>
          db.from("batch_jobs").select("id").is("completed_at", null).order(
            "created_at",
          ).limit(1)),
      )[0]?.id,
    claim: async (p_job_id, p_busy) =>
      claimed.parse(
        await persistently("claim tasks", () =>
          db.rpc("claim_batch_tasks", { p_job_id, p_token, p_busy })),
      ),
    heartbeat: async (p_job_id) =>
      z.object({ status: z.string() }).parse(
        await once(
          "report the heartbeat",
          db.rpc("heartbeat_batch_job", { p_job_id, p_token }),
        ),
      ).status,
    async finish(p_job_id, results) {
      // A character that Postgres cannot store must not cost the other answers.
      const p_results = storableJson(results) as never;
      return finished.parse(
        await persistently(
          "finish tasks",
          () => db.rpc("finish_batch_tasks", { p_job_id, p_token, p_results }),
        ),
      );
    },
    async release(p_job_id, ids) {
      const which = ids === undefined ? {} : { p_ids: [...ids] };
      return count.parse(
        await persistently(
          "release tasks",
          () => db.rpc("release_batch_tasks", { p_job_id, p_token, ...which }),
        ),
      );
    },
    async continueAt(p_job_id, at) {
      const p_wait_ms = Math.max(0, Math.ceil(at.getTime() - now().getTime()));
      await persistently(
        "hand on",
        () => db.rpc("continue_batch_job", { p_job_id, p_wait_ms }),
      );
    },
  };
}
