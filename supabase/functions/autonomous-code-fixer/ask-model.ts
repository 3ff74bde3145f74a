import { isHTTPError, isTimeoutError } from "ky";
import { z } from "zod";
import {
  createChat,
  describeStatus,
  mayHaveCost,
  UnreadableAnswerError,
} from "../../../shared/models/chat.ts";
import { readCompletion, type Usage } from "../../../shared/models/chat-completion.ts";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { errorMessage } from "../../../shared/job/errors.ts";
import { asksForLonger } from "../../../shared/retry-after.ts";
import type { Configuration } from "./configuration.ts";
import type { Messages } from "./prompt.ts";

/** The token limit of an answer. Reasoning models use part of it for their reasoning. */
export const maximumCompletionTokens = 8_192;
const maximumAnswerBytes = 2 * 1024 * 1024;

/** https://platform.openai.com/docs/guides/structured-outputs */
const answerSchema = {
  type: "json_schema",
  json_schema: {
    name: "fix",
    strict: true,
    schema: {
      type: "object",
      properties: {
        diff: { type: "string" },
        reasoning: { type: "string" },
        confidence: { type: "number" },
      },
      required: ["diff", "reasoning", "confidence"],
      additionalProperties: false,
    },
  },
};

export type ModelAnswer =
  & {
    /** Null when the answer does not tell. Unless it is `refused`, the question may still have cost something. */
    usage: Usage | null;
  }
  & (
    | { text: string; error?: never }
    /** `refused`: the endpoint rejected the question, so it cost nothing. `unauthorized`: it rejected the key. */
    | { text?: never; error: string; refused: boolean; unauthorized: boolean }
  );

/**
 * Asks for a chat completion as JSON. Never throws; the answer holds the error, without the key. Questions that the
 * endpoint refused (429, 5xx) are retried. A question that may have cost something is not retried, because the budget
 * reserved only one.
 *
 * @param timeoutMs The limit for all tries and the waits between them.
 */
export async function askModel(
  configuration: Configuration,
  messages: Messages,
  timeoutMs: number,
  { http, now }: Pick<JobContext, "http" | "now">,
): Promise<ModelAnswer> {
  const until = now().getTime() + timeoutMs;
  const endpoint = { url: `${configuration.baseUrl}/chat/completions`, key: configuration.apiKey };
  // Newer models of OpenAI reject max_tokens; other servers often support only that.
  const limit = new URL(configuration.baseUrl).hostname === "api.openai.com"
    ? "max_completion_tokens"
    : "max_tokens";
  try {
    const body = await createChat(http).ask(endpoint, {
      model: configuration.model,
      messages,
      temperature: 0.2,
      [limit]: maximumCompletionTokens,
      response_format: answerSchema,
    }, {
      maximumBytes: maximumAnswerBytes,
      timeoutMs,
      signal: AbortSignal.timeout(timeoutMs),
      options: {
        totalTimeoutMs: () => Math.max(1, until - now().getTime()),
        retry: {
          limit: 2,
          methods: ["post"],
          maxRetryAfter: Infinity,
          // Do not wait longer than the run can: the status is a better error than a timeout.
          shouldRetry: ({ error }) =>
            !isHTTPError(error) || mayHaveCost(error) ||
              asksForLonger(error, until - now().getTime(), now())
              ? false
              : undefined,
        },
      },
    });
    return readModelAnswer(body);
  } catch (error) {
    return failure(error, configuration.apiKey);
  }
}

function readModelAnswer(body: string | undefined): ModelAnswer {
  const none = { refused: false, unauthorized: false };
  if (body === undefined) {
    return { ...none, error: "the endpoint's answer is too long", usage: null };
  }
  const { answer: text, usage = null, reason, refusal } = readCompletion(body);
  if (text !== undefined) return { text, usage };
  const error = refusal === undefined
    ? `the endpoint's ${reason}`
    : `the model refused: ${refusal.slice(0, 300)}`;
  return { ...none, error, usage };
}

const errorBody = z.object({ error: z.object({ message: z.string() }) });

function failure(error: unknown, apiKey: string): ModelAnswer {
  const failed = (message: string, refused: boolean, unauthorized = false): ModelAnswer => ({
    error: message.replaceAll(apiKey, "[redacted]").slice(0, 500),
    usage: null,
    refused,
    unauthorized,
  });
  if (isHTTPError(error)) {
    const { status } = error.response;
    // The body may quote the key, so it is left out.
    if (status === 401 || status === 403) {
      return failed(`the endpoint refused the key (HTTP ${status})`, true, true);
    }
    const body = errorBody.safeParse(error.data);
    return failed(
      `the endpoint answered ${describeStatus(error)}${
        body.success ? `: ${body.data.error.message}` : ""
      }`,
      !mayHaveCost(error),
    );
  }
  if (isTimeoutError(error) || (error instanceof DOMException && error.name === "TimeoutError")) {
    return failed("the endpoint did not answer in time", false);
  }
  if (error instanceof UnreadableAnswerError) {
    return failed(`the endpoint's ${error.message}`, false);
  }
  return failed(`the endpoint cannot be reached: ${errorMessage(error)}`, false);
}
