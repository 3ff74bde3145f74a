import { isHTTPError } from "ky";
import type { JobContext } from "../../../shared/define-job.ts";
import {
  askForCompletion,
  describeNoAnswer,
  readCompletion,
  UnreadableAnswerError,
} from "../../../shared/chat-completion.ts";
import { findChatEndpoint } from "../../../shared/chat-endpoint.ts";
import { asksForLonger, retryAfterMs } from "../../../shared/retry-after.ts";
import type { Provider, Result, Task } from "./steps.ts";

/** A Retry-After up to here is waited for on the spot; with a longer one the task is given back. */
const longestWaitMs = 10_000;
const maximumAnswerBytes = 4_000_000;

/** What came of a call, without the task's id and the answerer. */
export type Outcome = Omit<Result, "id" | "answerer">;

export interface Providers {
  /** Never throws. `timeoutMs`: how long a try may take; `leftMs`: all tries and the waits between them. */
  call(
    task: Task,
    provider: Provider,
    limits: { timeoutMs: number; leftMs: number; signal: AbortSignal },
  ): Promise<Outcome>;
  /** The environment variables that were missing or unusable so far. */
  readonly notConfigured: ReadonlySet<string>;
}

/** Calls of providers by the OpenAI chat completions API: `POST <base URL>/chat/completions`. */
export function createProviders({ http, env, now }: JobContext): Providers {
  const notConfigured = new Set<string>();

  return {
    notConfigured,
    async call(task, provider, { timeoutMs, leftMs, signal }) {
      const endpoint = findChatEndpoint(provider, env);
      if ("missing" in endpoint) {
        notConfigured.add(endpoint.missing);
        return { outcome: "unusable", reason: `not configured: ${endpoint.missing}` };
      }
      const startedAt = now().getTime();
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(leftMs)]);
      try {
        const body = await askForCompletion(endpoint, {
          model: provider.model,
          messages: [{ role: "user", content: task.prompt }],
          max_completion_tokens: provider.max_completion_tokens,
        }, {
          http,
          maximumBytes: maximumAnswerBytes,
          timeoutMs,
          signal: deadline,
          options: {
            headers: { "idempotency-key": `batch-task-${task.id}` },
            retry: {
              retryOnTimeout: false,
              maxRetryAfter: longestWaitMs,
              shouldRetry: ({ error }) =>
                asksForLonger(error, longestWaitMs, now()) ? false : undefined,
            },
          },
        });
        const read = body === undefined
          ? { refused: `answer longer than ${maximumAnswerBytes / 1e6} MB` }
          : readCompletion(body);
        if ("unusable" in read) {
          return { outcome: "unusable", reason: read.unusable };
        }
        if ("refused" in read) {
          return { outcome: "refused", reason: read.refused };
        }
        return {
          outcome: "answered",
          answer: read.answer,
          model: read.model ?? provider.model,
          latency_ms: now().getTime() - startedAt,
          prompt_tokens: read.promptTokens,
          completion_tokens: read.completionTokens,
        };
      } catch (error) {
        // What the run's own end cut off is nobody's failure.
        if (deadline.aborted) return { outcome: "cut" };
        return failure(error, timeoutMs, now());
      }
    },
  };
}

/** The body of an error is never kept: it may quote the key. */
function failure(error: unknown, timeoutMs: number, now: Date): Outcome {
  const reason = describeNoAnswer(error, timeoutMs);
  if (isHTTPError(error)) {
    const { status } = error.response;
    const waitMs = retryAfterMs(error.response, now);
    // Overloaded, or down for maintenance: it says when it is back.
    if (status === 429 || status === 503 && waitMs !== undefined) {
      return {
        outcome: "waiting",
        reason,
        ...(status === 503 ? { down: true } : {}),
        ...(waitMs === undefined ? {} : {
          wait_seconds: Math.min(
            Math.max(1, Math.ceil(waitMs / 1000)),
            86_400,
          ),
        }),
      };
    }
    if (status >= 500 || status === 408) return { outcome: "failed", reason };
    // The key, the money, the address, the model: no other prompt would fare better.
    if (status < 400 || [401, 402, 403, 404, 405].includes(status)) {
      return { outcome: "unusable", reason };
    }
    return { outcome: "refused", reason };
  }
  const isGarbage = error instanceof UnreadableAnswerError && !error.isText;
  return { outcome: isGarbage ? "unusable" : "failed", reason };
}
