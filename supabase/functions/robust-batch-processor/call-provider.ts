import { isHTTPError } from "ky";
import type { JobContext } from "../../../shared/job/define-job.ts";
import {
  createChat,
  describeNoAnswer,
  UnreadableAnswerError,
} from "../../../shared/models/chat.ts";
import {
  type Completion,
  type Problem,
  readCompletion,
} from "../../../shared/models/chat-completion.ts";
import { findChatEndpoint } from "../../../shared/models/chat-endpoint.ts";
import { askedWaitMs } from "../../../shared/retry-after.ts";
import type { Provider, Result, Task } from "./steps.ts";

/** A run waits up to here when a provider asks it to. With a longer wait the task is given back. */
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
  const chat = createChat(http);

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
        const body = await chat.ask(endpoint, {
          model: provider.model,
          messages: [{ role: "user", content: task.prompt }],
          max_completion_tokens: provider.max_completion_tokens,
        }, {
          maximumBytes: maximumAnswerBytes,
          timeoutMs,
          signal: deadline,
          idempotencyKey: `batch-task-${task.id}`,
          options: { retry: { retryOnTimeout: false, maxRetryAfter: longestWaitMs } },
        });
        if (body === undefined) {
          return {
            outcome: "refused",
            reason: `answer longer than ${maximumAnswerBytes / 1e6} MB`,
          };
        }
        return outcomeOf(readCompletion(body), provider, now().getTime() - startedAt);
      } catch (error) {
        // A call that the run's own end cut off is no failure.
        if (deadline.aborted) return { outcome: "cut" };
        return failure(error, timeoutMs, now());
      }
    },
  };
}

/** The outcome of each unusable answer. A provider that cuts or withholds one is not down. */
const problems: Record<Problem, Pick<Outcome, "outcome" | "provider_answered">> = {
  no_completion: { outcome: "unusable" },
  interrupted: { outcome: "failed" },
  cut: { outcome: "unusable", provider_answered: true },
  withheld: { outcome: "unusable", provider_answered: true },
  empty: { outcome: "refused" },
};

function outcomeOf(read: Completion, provider: Provider, latency_ms: number): Outcome {
  if (read.problem !== undefined) return { ...problems[read.problem], reason: read.reason };
  return {
    outcome: "answered",
    answer: read.answer,
    model: read.model ?? provider.model,
    latency_ms,
    prompt_tokens: read.usage?.promptTokens,
    completion_tokens: read.usage?.completionTokens,
  };
}

/** The body of an error is never kept: it may quote the key. */
function failure(error: unknown, timeoutMs: number, now: Date): Outcome {
  const reason = describeNoAnswer(error, timeoutMs);
  if (isHTTPError(error)) {
    const { status } = error.response;
    const waitMs = askedWaitMs(error.response, now);
    // Overloaded, or down for maintenance: it says when it is back.
    if (status === 429 || status === 503 && waitMs !== undefined) {
      return {
        outcome: "waiting",
        reason,
        ...(status === 503 ? { provider_is_down: true } : {}),
        ...(waitMs === undefined ? {} : {
          wait_seconds: Math.min(
            Math.max(1, Math.ceil(waitMs / 1000)),
            86_400,
          ),
        }),
      };
    }
    if (status >= 500 || status === 408) return { outcome: "failed", reason };
    // The key, the money, the address or the model is wrong: other prompts would fail too.
    if (status < 400 || [401, 402, 403, 404, 405].includes(status)) {
      return { outcome: "unusable", reason };
    }
    return { outcome: "refused", reason };
  }
  const isGarbage = error instanceof UnreadableAnswerError && !error.isText;
  return { outcome: isGarbage ? "unusable" : "failed", reason };
}
