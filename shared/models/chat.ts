import { type HTTPError, isHTTPError, isTimeoutError, type Options } from "ky";
import { z } from "zod";
import { adaptQuestion, type Question, refusedParameter } from "./chat-question.ts";
import type { HttpClient } from "../http-client.ts";
import { NotTextError, readText } from "../read-text.ts";

/** An answer came, but what it says cannot be read: its bytes are no UTF-8 (`isText` false), or it broke off. */
export class UnreadableAnswerError extends Error {
  override readonly name = "UnreadableAnswerError";

  constructor(readonly isText: boolean, cause: unknown) {
    super(isText ? "answer broke off" : "answer is no UTF-8", { cause });
  }
}

class LongAnswerError extends Error {}

export interface Asking {
  /** Longer bodies are not read. */
  maximumBytes: number;
  /** How long a try may take, the reading of its answer included. */
  timeoutMs: number;
  /** Ends all tries and the waits between them. */
  signal: AbortSignal;
  /** With it a question is repeated as the client repeats; without it only where `retry.methods` has "post". */
  idempotencyKey?: string;
  /** What else the client is told. */
  options?: Pick<Options, "retry"> & {
    /** How long all tries may take together. */
    totalTimeoutMs?: () => number;
  };
}

/** The one way to ask a model, by the chat completions API. */
export interface Chat {
  /**
   * The body of an answer with status 200 to 299; undefined: it is too long. What the server does not know of a question
   * is asked otherwise, see `adaptQuestion`. No redirect is followed: it would take the question to somebody else than who
   * is configured.
   *
   * @throws ky's HTTPError for any other status, and for a 200 that is an error; UnreadableAnswerError; what the client or
   * the signal throws for no answer.
   */
  ask(
    endpoint: { url: string; key: string },
    question: Question,
    asking: Asking,
  ): Promise<string | undefined>;
}

/** It remembers what each model of a server has refused to know, so that not each question is asked twice. */
export function createChat(http: HttpClient): Chat {
  const refused = new Map<string, ReadonlySet<string>>();
  return {
    async ask(endpoint, question, asking) {
      const who = JSON.stringify([endpoint.url, question.model]);
      let left = refused.get(who) ?? new Set();
      for (;;) {
        const adapted = adaptQuestion(question, left) ?? question;
        try {
          return await askOnce(http, endpoint, adapted, left, asking);
        } catch (error) {
          const parameter = isHTTPError(error) ? refusedParameter(adapted, error) : undefined;
          if (parameter === undefined || left.has(parameter)) throw error;
          left = new Set([...left, parameter]);
          if (adaptQuestion(question, left) === undefined) throw error;
          refused.set(who, new Set([...refused.get(who) ?? [], ...left]));
        }
      }
    },
  };
}

async function askOnce(
  http: HttpClient,
  { url, key }: { url: string; key: string },
  question: Question,
  left: ReadonlySet<string>,
  { maximumBytes, timeoutMs, signal, idempotencyKey, options = {} }: Asking,
): Promise<string | undefined> {
  const { retry = {}, totalTimeoutMs } = options;
  // A server that heeds such keys refuses one that it knows with another question.
  const suffix = [...left].sort().map((name) => `-without-${name}`).join("");
  try {
    const response = await http.post(url, {
      headers: {
        authorization: `Bearer ${key}`,
        ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey + suffix }),
      },
      json: question,
      redirect: "manual",
      signal,
      timeout: timeoutMs,
      retry,
      fetch: (input, init) => fetchAnswer(new Request(input, init), maximumBytes),
      ...(totalTimeoutMs === undefined ? {} : { totalTimeout: totalTimeoutMs() }),
    });
    return await response.text();
  } catch (error) {
    if (error instanceof LongAnswerError) return undefined;
    throw error;
  }
}

/** An answer that was read to its end; one that says 200 and holds an error has the error's status. */
async function fetchAnswer(request: Request, maximumBytes: number): Promise<Response> {
  const response = await fetch(request);
  if (!response.ok) return response;
  const text = await readAnswer(response, maximumBytes, request.signal);
  const { headers } = response;
  const status = statusOfError(text);
  return status === undefined
    ? new Response(text || null, { status: response.status, headers })
    : new Response(text, { status, statusText: errorInAnswer, headers });
}

async function readAnswer(
  response: Response,
  maximumBytes: number,
  signal: AbortSignal,
): Promise<string> {
  let text: string | undefined;
  try {
    text = await readText(response, maximumBytes, { signal, strict: true });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new UnreadableAnswerError(!(error instanceof NotTextError), error);
  }
  if (text === undefined) throw new LongAnswerError();
  return text;
}

/** The status text of an answer whose status was in its body. */
const errorInAnswer = "in an answer with status 200";

const isTruthy = (error: unknown) => Boolean(error);
const withError = z.object({ error: z.unknown().refine(isTruthy) });
const bodyWithError = z.union([
  withError,
  z.object({ choices: z.tuple([withError], z.unknown()) }).transform((
    { choices: [{ error }] },
  ) => ({
    error,
  })),
]);
/** As OpenRouter and others say it: the status that the answer would have had. */
const codeOfError = z.object({ code: z.coerce.number().int().min(400).max(599) });

/**
 * The status of the error in a body that came with status 200, of the whole or of its first choice: OpenRouter documents
 * it of what goes wrong once the model is at work. 500 where its code is no status; undefined where there is no error.
 */
function statusOfError(text: string): number | undefined {
  // Nearly all answers have none, and are not read twice.
  if (!text.includes('"error"')) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const found = bodyWithError.safeParse(json);
  if (!found.success) return undefined;
  return codeOfError.safeParse(found.data.error).data?.code ?? 500;
}

/**
 * Whether a question that came to this error may have been answered all the same, and paid for: no answer in time, a
 * broken connection, the statuses of proxies behind which the model may have been at work (502, 504, 520 to 527), and an
 * error of the model at work.
 */
export function mayHaveCost(error: unknown): boolean {
  if (!isHTTPError(error)) return !cameToNoConnection(error);
  const { status, statusText } = error.response;
  return status === 502 || status === 504 || (status >= 520 && status <= 527) ||
    (status >= 500 && statusText === errorInAnswer);
}

/** Why no answer came, in words that hold nothing of question, key or address. */
export function describeNoAnswer(error: unknown, timeoutMs: number): string {
  if (isHTTPError(error)) return describeStatus(error);
  if (error instanceof UnreadableAnswerError) return error.message;
  if (isTimeoutError(error) || error instanceof DOMException && error.name === "TimeoutError") {
    return `no answer in ${timeoutMs / 1000} s`;
  }
  return cameToNoConnection(error) ? "no connection" : "connection broke off";
}

/** "HTTP 429", or "error 429 with HTTP 200". */
export function describeStatus({ response: { status, statusText } }: HTTPError): string {
  return statusText === errorInAnswer ? `error ${status} with HTTP 200` : `HTTP ${status}`;
}

function cameToNoConnection(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    // How Deno says that nothing was sent.
    if (cause.message.includes("client error (Connect)")) return true;
  }
  return false;
}
