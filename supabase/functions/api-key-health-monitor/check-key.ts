import { HTTPError } from "ky";
import { readBaseUrl } from "../../../shared/base-url.ts";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { errorMessage } from "../../../shared/job/errors.ts";
import { readText } from "../../../shared/read-text.ts";
import type { Answer, Verdict } from "./answer.ts";
import { readError, shortWords } from "./provider-error.ts";
import { judge, type Provider, readLimits } from "./providers.ts";

/** The result of a check, in the form that `record_api_key_checks` takes. Times are ISO 8601; null is unknown. */
export type KeyCheck = {
  provider: string;
  status: Verdict["status"] | "not_configured";
  key_last_four: string | null;
  http_status: number | null;
  latency_ms: number | null;
  expires_at: string | null;
  rate_limit: number | null;
  rate_limit_remaining: number | null;
  rate_limit_resets_at: string | null;
  error_message: string | null;
};

/** The part of the job's context that a check uses. */
export type CheckContext = Pick<JobContext, "env" | "http" | "signal" | "now">;

/** The largest body that is read. Every documented answer is far smaller. */
const maximumBodyBytes = 1024 * 1024;

/**
 * Asks the provider whether its key is valid.
 *
 * @param timeoutMs The limit for the call, one retry after a 5xx or a broken connection, and reading the answer.
 * @throws the signal's reason when the run is over, and nothing else.
 */
export async function checkKey(
  provider: Provider,
  timeoutMs: number,
  context: CheckContext,
): Promise<KeyCheck> {
  const key = context.env(provider.keyEnv);
  if (key === undefined) {
    return { ...nothing, provider: provider.name, status: "not_configured" };
  }
  const known = {
    ...nothing,
    provider: provider.name,
    key_last_four: lastFour(key),
  };
  const fault = faultOf(key);
  if (fault !== undefined) {
    return {
      ...known,
      status: "invalid",
      error_message: `${provider.keyEnv} ${fault}`,
    };
  }
  const baseUrl = readBaseUrl(context.env(provider.urlEnv) ?? provider.url);
  if (baseUrl === undefined) {
    const error_message = `${provider.urlEnv} is no http(s) URL`;
    return { ...known, status: "unreachable", error_message };
  }

  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  const signal = AbortSignal.any([context.signal, timeout.signal]);
  try {
    const { answer, latencyMs } = await ask(
      provider,
      `${baseUrl}${provider.path}`,
      key,
      signal,
      context,
    );
    const limits = readLimits(provider, answer);
    const verdict = judge(provider, answer, limits);
    const expiration = provider.expiration?.(answer.headers);
    const unread = expiration !== undefined && expiration.at === undefined;
    return {
      ...known,
      status: verdict.status,
      http_status: answer.status,
      latency_ms: latencyMs,
      expires_at: expiration?.at?.toISOString() ?? null,
      rate_limit: limits.limit ?? null,
      rate_limit_remaining: limits.remaining ?? null,
      rate_limit_resets_at: limits.resetsAt?.toISOString() ?? null,
      error_message: verdict.reason ??
        (unread ? "cannot read when it expires" : null),
    };
  } catch (error) {
    context.signal.throwIfAborted();
    const error_message = timeout.signal.aborted
      ? `no answer within ${timeoutMs / 1000} s`
      : shortWords(`no answer: ${lastWords(error)}`, key);
    return { ...known, status: "unreachable", error_message };
  } finally {
    clearTimeout(timer);
  }
}

const nothing = {
  key_last_four: null,
  http_status: null,
  latency_ms: null,
  expires_at: null,
  rate_limit: null,
  rate_limit_remaining: null,
  rate_limit_resets_at: null,
  error_message: null,
};

/** The last four characters of the key. A key of fewer than 8 gets none: four would reveal too much of it. */
function lastFour(key: string): string | null {
  return /^[\x21-\x7e]{8,}$/.test(key.trim()) ? key.trim().slice(-4) : null;
}

/** Why a key cannot be sent. A line break or a non-ASCII character makes the header throw; outer blanks get lost. */
function faultOf(key: string): string | undefined {
  if (/[\r\n]/.test(key)) return "has a line break in it";
  if (key.trim() !== key) return "has blanks around it";
  if (!/^[\x21-\x7e]+$/.test(key)) return "has characters that no key has";
  return undefined;
}

/** Calls once, and once more after a 5xx or a broken connection. A 429 is an answer and is not retried. */
async function ask(
  provider: Provider,
  url: string,
  key: string,
  signal: AbortSignal,
  { http, now }: CheckContext,
): Promise<{ answer: Answer; latencyMs: number }> {
  let sentAt = performance.now();
  const sent = () => void (sentAt = performance.now());
  let response: Response;
  let body: unknown;
  let latencyMs: number;
  try {
    response = await http.get(url, {
      headers: provider.headers(key),
      // Following a redirect would send the key to another address.
      redirect: "manual",
      signal,
      timeout: false,
      throwHttpErrors: (status) => status >= 500,
      retry: {
        limit: 1,
        shouldRetry: () => !signal.aborted,
      },
      hooks: { beforeRetry: [sent] },
    });
    latencyMs = Math.round(performance.now() - sentAt);
    body = parseJson(await readText(response, maximumBodyBytes) ?? "");
  } catch (error) {
    if (!(error instanceof HTTPError)) throw error;
    latencyMs = Math.round(performance.now() - sentAt);
    response = error.response;
    body = error.data;
  }
  const { status, headers } = response;
  return {
    answer: { status, headers, body, error: readError(body, key), now: now() },
    latencyMs,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The last part of an error's message chain, such as "Connection reset by peer" below "fetch failed". */
function lastWords(error: unknown): string {
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  return errorMessage(cause).split(": ").at(-1) ?? "";
}
