import type { SupabaseClient } from "@supabase/supabase-js";
import { databaseError } from "../database-error.ts";
import type { Database } from "../database.types.ts";
import { readRateLimit } from "../rate-limit-headers.ts";
import { DeferredError, PermanentError } from "./errors.ts";
import type { Platform } from "./platform.ts";

/** A budget of an outside API, registered with `scheduler.register_budget` and shared by all who take of it. */
export interface Budget {
  /**
   * Takes tokens: at once, or after a short wait.
   *
   * @param tokens How many, 1 unless told.
   * @param options.waitMs How long to wait at the most, 20 s unless told; never so long that no time is left to work.
   * @throws DeferredError when they are not there in that time. The job lets it pass: its run is resumed then.
   * @throws the signal's reason when it fires.
   * @throws PermanentError for an unknown budget, or for more than it ever holds.
   */
  take(tokens?: number, options?: { waitMs?: number }): Promise<void>;
  /**
   * Keeps so many tokens from all other jobs until this job took them or `by` has passed, instead of what it had reserved.
   *
   * @throws PermanentError, with the number that is possible, when that many cannot be had until then.
   */
  reserve(tokens: number, by: Date): Promise<void>;
  /**
   * Corrects the budget by what the API says of its limit in an answer: see `readRateLimit` for the headers. Asks the
   * database only when they say something.
   *
   * @param options.policy Which of several policies of a `RateLimit` the budget is.
   */
  report(headers: Headers, options?: { policy?: string }): Promise<void>;
}

/** What a budget needs of the run that takes of it. */
export interface BudgetSource {
  db: SupabaseClient<Database>;
  runId: string;
  signal: AbortSignal;
  platform: Pick<Platform, "now" | "after">;
  /** How long the job may still work. */
  remainingMs(): number;
}

const longestWaitMs = 20_000;
/** However soon the tokens are there: others ask for them too. */
const shortestWaitMs = 10;
/** The time that a wait leaves to the job for its work. */
const workMs = 5_000;
/** How long the database may be silent. */
const timeoutMs = 8_000;

type Answer = { granted: true; left: number } | { granted: false; from: string; wait_ms: number };

/** The budget of that name, for a run. */
export function createBudget(name: string, source: BudgetSource): Budget {
  const { db, runId, signal, platform } = source;

  /** A call of the database, given up when the signal fires or there is no answer in time. */
  async function call<T>(
    what: string,
    work: {
      abortSignal(
        signal: AbortSignal,
      ): PromiseLike<{ data: unknown; error: { code?: string; message: string } | null }>;
    },
  ): Promise<T> {
    signal.throwIfAborted();
    const given = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const { data, error } = await work.abortSignal(given);
    signal.throwIfAborted();
    if (error) throw databaseError(`${what} the budget ${name}`, error);
    return data as T;
  }

  return {
    async take(tokens = 1, { waitMs = longestWaitMs } = {}) {
      assertTokens(`take of the budget ${name}`, tokens);
      if (!(waitMs >= 0 && waitMs < Infinity)) {
        throw new PermanentError(
          `Cannot take of the budget ${name}: waitMs must be milliseconds from 0 on, got ${waitMs}`,
        );
      }
      for (const until = platform.now() + waitMs;;) {
        const answer = await call<Answer>(
          "take of",
          db.rpc("scheduler_take_tokens", { p_run_id: runId, p_budget: name, p_tokens: tokens }),
        );
        if (answer.granted) return;
        // By the database's clock, which may not be this worker's.
        const ms = Math.max(answer.wait_ms, shortestWaitMs);
        if (platform.now() + ms > until || ms > source.remainingMs() - workMs) {
          throw new DeferredError(name, new Date(answer.from));
        }
        await wait(ms, source);
      }
    },

    async reserve(tokens, by) {
      assertTokens(`reserve of the budget ${name}`, tokens);
      if (Number.isNaN(by.getTime())) {
        throw new PermanentError(
          `Cannot reserve of the budget ${name}: by must be a date, got ${by}`,
        );
      }
      await call(
        "reserve of",
        db.rpc("scheduler_reserve_tokens", {
          p_run_id: runId,
          p_budget: name,
          p_tokens: tokens,
          p_by: by.toISOString(),
        }),
      );
    },

    async report(headers, { policy } = {}) {
      const limit = readRateLimit(headers, new Date(platform.now()), policy);
      if (limit === undefined) return;
      await call(
        "report of",
        db.rpc("scheduler_report_budget", {
          p_budget: name,
          p_left: limit.left,
          ...(limit.resetsAt === null ? {} : { p_resets_at: limit.resetsAt.toISOString() }),
        }),
      );
    },
  };
}

function assertTokens(what: string, tokens: number): void {
  if (Number.isSafeInteger(tokens) && tokens >= 1) return;
  throw new PermanentError(
    `Cannot ${what}: tokens must be a whole number from 1 on, got ${tokens}`,
  );
}

/** Waits; throws the signal's reason as soon as it fires. */
function wait(ms: number, { signal, platform }: BudgetSource): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = platform.after(ms, () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
    signal.addEventListener("abort", stop, { once: true });
  });
}
