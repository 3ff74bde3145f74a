import { type HTTPError, isHTTPError, isTimeoutError } from "ky";
import { z } from "zod";
import {
  askForCompletion,
  mayHaveCost,
  UnreadableAnswerError,
} from "../../../shared/chat-completion.ts";
import type { JobContext } from "../../../shared/define-job.ts";
import { errorMessage } from "../../../shared/errors.ts";
import { asksForLonger } from "../../../shared/retry-after.ts";
import type { Configuration } from "./configuration.ts";
import type { Messages } from "./prompt.ts";

/** Tokens of the longest answer; models that think aloud use them for that too. */
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

/** No model reads or writes as many, and the database's columns hold no more; what says so does not say what it used. */
const tokens = z.int().nonnegative().max(1_000_000_000);
const usageSchema = z.object({
  usage: z.object({ prompt_tokens: tokens, completion_tokens: tokens }),
});
const choiceSchema = z.object({
  choices: z.tuple(
    [z.object({
      finish_reason: z.string().nullish(),
      message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
    })],
    z.unknown(),
  ),
});

export interface Usage {
  promptTokens: number;
  completionTokens: number;
}

export type ModelAnswer =
  & {
    /** Null: the answer does not say; it may have cost something all the same, unless `refused`. */
    usage: Usage | null;
  }
  & (
    | { text: string; error?: never }
    /** `refused`: the endpoint did not take the question, so it cost nothing. `unauthorized`: it refused the key. */
    | { text?: never; error: string; refused: boolean; unauthorized: boolean }
  );

/**
 * Asks for a chat completion as JSON. Never throws: what went wrong is in the answer, without the key.
 *
 * @param timeoutMs For all of it, retries and the waits between them included. What the endpoint refused is tried
 * again (429, 5xx); a question that may have cost something is not, for only one was reserved.
 */
export async function askModel(
  configuration: Configuration,
  messages: Messages,
  timeoutMs: number,
  { http, now }: Pick<JobContext, "http" | "now">,
): Promise<ModelAnswer> {
  const until = now().getTime() + timeoutMs;
  const end = AbortSignal.timeout(timeoutMs);
  const endpoint = { url: `${configuration.baseUrl}/chat/completions`, key: configuration.apiKey };
  // Newer models of OpenAI know no max_tokens, other servers often nothing else.
  const limit = new URL(configuration.baseUrl).hostname === "api.openai.com"
    ? "max_completion_tokens"
    : "max_tokens";
  let body: Record<string, unknown> = {
    model: configuration.model,
    messages,
    temperature: 0.2,
    [limit]: maximumCompletionTokens,
    response_format: answerSchema,
  };
  for (const adapted = new Set<string>();;) {
    try {
      const text = await askForCompletion(endpoint, body, {
        http,
        maximumBytes: maximumAnswerBytes,
        // The client's own limits end with the head of the answer.
        signal: end,
        timeoutMs,
        options: {
          totalTimeout: Math.max(1, until - now().getTime()),
          retry: {
            limit: 2,
            maxRetryAfter: Infinity,
            // A wait that would outlast the run is no use; the status says more than a timeout.
            shouldRetry: ({ error }) =>
              !isHTTPError(error) || mayHaveCost(error) ||
                asksForLonger(error, until - now().getTime(), now())
                ? false
                : undefined,
          },
        },
      });
      return readModelAnswer(text);
    } catch (error) {
      const other = isHTTPError(error) ? adapt(body, error, adapted) : undefined;
      if (other === undefined) return failure(error, configuration.apiKey);
      body = other;
    }
  }
}

function readModelAnswer(text: string | undefined): ModelAnswer {
  const wrong = (error: string, usage: Usage | null): ModelAnswer => ({
    error,
    usage,
    refused: false,
    unauthorized: false,
  });
  if (text === undefined) return wrong("the endpoint's answer is too long", null);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return wrong("the endpoint's answer is no JSON", null);
  }
  const used = usageSchema.safeParse(json);
  const usage = used.success
    ? {
      promptTokens: used.data.usage.prompt_tokens,
      completionTokens: used.data.usage.completion_tokens,
    }
    : null;
  const completion = choiceSchema.safeParse(json);
  if (!completion.success) return wrong("the endpoint's answer holds no choice", usage);
  const [{ finish_reason: reason, message }] = completion.data.choices;
  if (message.refusal) return wrong(`the model refused: ${message.refusal.slice(0, 300)}`, usage);
  if (reason === "length") {
    return wrong(`the answer was cut off at ${maximumCompletionTokens} tokens`, usage);
  }
  if (reason === "content_filter") return wrong("the answer was withheld by a filter", usage);
  if (!message.content) return wrong("the answer is empty", usage);
  return { text: message.content, usage };
}

/**
 * The question without what the endpoint says it does not know: each parameter once. Undefined: that is not what
 * was wrong.
 */
function adapt(
  body: Record<string, unknown>,
  error: HTTPError,
  adapted: Set<string>,
): Record<string, unknown> | undefined {
  if (error.response.status !== 400 && error.response.status !== 422) return undefined;
  const complaint = JSON.stringify(error.data ?? "");
  const parameter = ["max_tokens", "max_completion_tokens", "temperature", "response_format"]
    .find((name) => name in body && complaint.includes(name) && !adapted.has(name));
  if (parameter === undefined) return undefined;
  adapted.add(parameter);
  const { [parameter]: value, ...rest } = body;
  if (parameter === "max_tokens") return { ...rest, max_completion_tokens: value };
  if (parameter === "max_completion_tokens") return { ...rest, max_tokens: value };
  // The schema stands in the system message too.
  if (parameter === "response_format") return { ...rest, response_format: { type: "json_object" } };
  return rest;
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
    // Such an answer may quote the key.
    if (status === 401 || status === 403) {
      return failed(`the endpoint refused the key (HTTP ${status})`, true, true);
    }
    const body = errorBody.safeParse(error.data);
    return failed(
      `the endpoint answered HTTP ${status}${body.success ? `: ${body.data.error.message}` : ""}`,
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
