import { isHTTPError, isTimeoutError } from "ky";
import { askForCompletion, readCompletion } from "../../../shared/chat-completion.ts";
import { findChatEndpoint } from "../../../shared/chat-endpoint.ts";
import type { JobContext } from "../../../shared/define-job.ts";
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
  /** No answer to this question; whose fault it is, others' answers show. */
  | { outcome: "refused"; reason: string }
  /** No other organization would fare better now. */
  | { outcome: "unavailable"; reason: string; notConfigured?: string }
  /** The run's own time was over. */
  | { outcome: "cut" };

export interface Model {
  /** Never throws. `leftMs`: how long all tries may take together. */
  ask(
    provider: Provider,
    request: SuggestionRequest,
    maxSuggestions: number,
    leftMs: number,
  ): Promise<Suggested>;
}

/** Asks by the OpenAI chat completions API. */
export function createModel({ http, env, signal }: JobContext): Model {
  return {
    async ask(provider, request, maxSuggestions, leftMs) {
      const endpoint = findChatEndpoint(provider, env);
      if ("missing" in endpoint) {
        const notConfigured = endpoint.missing;
        return {
          outcome: "unavailable",
          reason: `not configured: ${notConfigured}`,
          notConfigured,
        };
      }
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(leftMs)]);
      try {
        const body = await askForCompletion(endpoint, {
          model: provider.model,
          messages: suggestionMessages(request, maxSuggestions),
          response_format: suggestionsFormat,
          max_completion_tokens: provider.max_completion_tokens,
        }, {
          http,
          maximumBytes: maximumAnswerBytes,
          timeoutMs: Math.min(tryMs, leftMs),
          signal: deadline,
        });
        if (body === undefined) return { outcome: "refused", reason: "answer longer than 1 MB" };
        const completion = readCompletion(body);
        if ("unusable" in completion) return { outcome: "refused", reason: completion.unusable };
        if ("refused" in completion) return { outcome: "invalid", reason: completion.refused };
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

/** The body of an error is never kept: it may quote the key. */
function failure(error: unknown): Suggested {
  if (isHTTPError(error)) {
    const { status } = error.response;
    return {
      outcome: [400, 413, 422].includes(status) ? "refused" : "unavailable",
      reason: `HTTP ${status}`,
    };
  }
  return {
    outcome: "unavailable",
    reason: isTimeoutError(error) ? `no answer in ${tryMs / 1000} s` : "no connection",
  };
}
