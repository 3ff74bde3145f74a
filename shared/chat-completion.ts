import { isHTTPError, isTimeoutError, type Options } from "ky";
import { z } from "zod";
import type { HttpClient } from "./http-client.ts";
import { NotTextError, readText } from "./read-text.ts";

/** An answer came, but what it says cannot be read: its bytes are no UTF-8 (`isText` false), or it broke off. */
export class UnreadableAnswerError extends Error {
  override readonly name = "UnreadableAnswerError";

  constructor(readonly isText: boolean, cause: unknown) {
    super(isText ? "answer broke off" : "answer is no UTF-8", { cause });
  }
}

export interface Asking {
  http: HttpClient;
  /** Longer bodies are not read. */
  maximumBytes: number;
  /** How long a try may take, and after it the reading of the answer. */
  timeoutMs: number;
  /** Ends all tries, the waits between them and the reading. */
  signal: AbortSignal;
  /** What else the client is told: which failures are tried again, further headers. */
  options?: Pick<Options, "retry" | "totalTimeout"> & { headers?: Record<string, string> };
}

/**
 * Asks the chat completions API and gives back the body of an answer with status 200 to 299; undefined: it is too
 * long. No redirect is followed: it would take the question to somebody else than who is configured.
 *
 * @throws ky's HTTPError for any other status, UnreadableAnswerError, what the client or the signal throws for no answer.
 */
export async function askForCompletion(
  { url, key }: { url: string; key: string },
  question: Record<string, unknown>,
  { http, maximumBytes, timeoutMs, signal, options = {} }: Asking,
): Promise<string | undefined> {
  const response = await http.post(url, {
    ...options,
    headers: { ...options.headers, authorization: `Bearer ${key}` },
    json: question,
    redirect: "manual",
    signal,
    timeout: timeoutMs,
  });
  const reading = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    return await readText(response, maximumBytes, { signal: reading, strict: true });
  } catch (error) {
    if (reading.aborted) throw error;
    throw new UnreadableAnswerError(!(error instanceof NotTextError), error);
  }
}

/**
 * Whether a question that came to this error may have been answered all the same, and paid for: no answer in time, a
 * broken connection, and the statuses of proxies behind which the model may have been at work (502, 504, 520 to 527).
 */
export function mayHaveCost(error: unknown): boolean {
  if (!isHTTPError(error)) return !cameToNoConnection(error);
  const { status } = error.response;
  return status === 502 || status === 504 || (status >= 520 && status <= 527);
}

/** Why no answer came, in words that hold nothing of question, key or address. */
export function describeNoAnswer(error: unknown, timeoutMs: number): string {
  if (isHTTPError(error)) return `HTTP ${error.response.status}`;
  if (error instanceof UnreadableAnswerError) return error.message;
  if (isTimeoutError(error) || error instanceof DOMException && error.name === "TimeoutError") {
    return `no answer in ${timeoutMs / 1000} s`;
  }
  return cameToNoConnection(error) ? "no connection" : "connection broke off";
}

function cameToNoConnection(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    // How Deno says that nothing was sent.
    if (cause.message.includes("client error (Connect)")) return true;
  }
  return false;
}

const count = z.int().min(0).max(2_147_483_647);

/** What of an answer of the chat completions API is read. */
const completion = z.object({
  model: z.string().min(1).max(200).optional(),
  choices: z.array(z.object({
    finish_reason: z.string().nullish(),
    message: z.object({ content: z.string().nullish() }),
  })).min(1),
  usage: z.object({ prompt_tokens: count, completion_tokens: count }).nullish()
    .catch(null),
});

export interface Completion {
  answer: string;
  /** As the provider names it, which may be more exact than what was asked for. */
  model: string | undefined;
  promptTokens: number | undefined;
  completionTokens: number | undefined;
}

/**
 * Reads a body of status 200. What is no answer is `{unusable}`: the provider does not speak the API, or `{refused}`:
 * it does, and this prompt got none; both with the reason, which holds nothing of the body.
 */
export function readCompletion(
  body: string,
): Completion | { unusable: string } | { refused: string } {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return { unusable: "answer is no JSON" };
  }
  const parsed = completion.safeParse(json);
  if (!parsed.success) return { unusable: "answer is no chat completion" };
  const { model, usage } = parsed.data;
  const choice = parsed.data.choices[0]!;
  if (choice.finish_reason === "content_filter") {
    return { refused: "answer was held back by the content filter" };
  }
  if (choice.finish_reason === "length") {
    return { refused: "answer was cut at the token limit" };
  }
  const answer = choice.message.content?.trim();
  if (!answer) return { refused: "answer is empty" };
  return {
    answer,
    model,
    promptTokens: usage?.prompt_tokens,
    completionTokens: usage?.completion_tokens,
  };
}
