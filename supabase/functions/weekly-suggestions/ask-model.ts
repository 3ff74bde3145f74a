import { isHTTPError } from "ky";
import {
  createChat,
  describeNoAnswer,
  mayHaveCost,
  UnreadableAnswerError,
} from "../../../shared/models/chat.ts";
import { type Problem, readCompletion } from "../../../shared/models/chat-completion.ts";
import { findChatEndpoint } from "../../../shared/models/chat-endpoint.ts";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { suggestionMessages } from "./messages.ts";
import { readSuggestions, suggestionsFormat } from "./read-suggestions.ts";
import type { Provider, SuggestionRequest } from "./steps.ts";

const tryMs = 60_000;
const maximumAnswerBytes = 1_000_000;

/** What came of asking for one organization. */
export type Suggested =
  | { outcome: "suggested"; texts: string[]; suggestedBy: string }
  /** An answer, but not what was asked for. */
  | { outcome: "invalid"; reason: string }
  /** No answer to this question. Answers to others show whether the question or the provider is at fault. */
  | { outcome: "refused"; reason: string; mayHaveCost: boolean }
  /** The provider would not answer for another organization either. */
  | { outcome: "unavailable"; reason: string; mayHaveCost: boolean; notConfigured?: string }
  /** The run's own time was over. */
  | { outcome: "cut" };

export interface Model {
  /**
   * Never throws. Asks once; again only when the provider did not take the question.
   * @param leftMs How long all of it may take.
   */
  ask(
    provider: Provider,
    request: SuggestionRequest,
    maxSuggestions: number,
    leftMs: number,
  ): Promise<Suggested>;
}

/** Asks by the OpenAI chat completions API. */
export function createModel({ http, env, signal }: JobContext): Model {
  const chat = createChat(http);
  return {
    async ask(provider, request, maxSuggestions, leftMs) {
      const endpoint = findChatEndpoint(provider, env);
      if ("missing" in endpoint) {
        const notConfigured = endpoint.missing;
        return {
          outcome: "unavailable",
          reason: `not configured: ${notConfigured}`,
          mayHaveCost: false,
          notConfigured,
        };
      }
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(leftMs)]);
      try {
        const body = await chat.ask(endpoint, {
          model: provider.model,
          messages: suggestionMessages(request, maxSuggestions),
          response_format: suggestionsFormat,
          max_completion_tokens: provider.max_completion_tokens,
        }, {
          maximumBytes: maximumAnswerBytes,
          timeoutMs: Math.min(tryMs, leftMs),
          signal: deadline,
          options: {
            retry: {
              methods: ["post"],
              // A request that may have been answered is not sent and paid for again.
              shouldRetry: ({ error }) => mayHaveCost(error) ? false : undefined,
            },
          },
        });
        if (body === undefined) {
          return { outcome: "refused", reason: "answer longer than 1 MB", mayHaveCost: true };
        }
        const completion = readCompletion(body);
        if (completion.problem !== undefined) {
          return { ...problems[completion.problem], reason: completion.reason };
        }
        const suggestions = readSuggestions(completion.answer);
        if ("invalid" in suggestions) return { outcome: "invalid", reason: suggestions.invalid };
        const suggestedBy = completion.model ?? provider.model;
        return { outcome: "suggested", texts: suggestions.texts, suggestedBy };
      } catch (error) {
        return deadline.aborted ? { outcome: "cut" } : failure(error);
      }
    },
  };
}

/** The outcome of each unusable answer; all of them may have cost something. */
const problems = {
  no_completion: { outcome: "refused", mayHaveCost: true },
  interrupted: { outcome: "unavailable", mayHaveCost: true },
  cut: { outcome: "invalid" },
  withheld: { outcome: "invalid" },
  empty: { outcome: "invalid" },
} as const satisfies Record<Problem, unknown>;

/** The body of an error is never kept: it may quote the key. */
function failure(error: unknown): Suggested {
  const isAboutTheQuestion = isHTTPError(error)
    ? [400, 413, 422].includes(error.response.status)
    : error instanceof UnreadableAnswerError && !error.isText;
  return {
    outcome: isAboutTheQuestion ? "refused" : "unavailable",
    reason: describeNoAnswer(error, tryMs),
    mayHaveCost: mayHaveCost(error),
  };
}
