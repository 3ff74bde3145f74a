import ky, { isHTTPError, type KyInstance, type Options, type RetryOptions } from "ky";
import { askedWaitMs, asksForLonger } from "./retry-after.ts";

/** The one client for outgoing HTTP; see {@link createHttpClient} for what it does by itself. */
export type HttpClient = KyInstance;

export interface HttpClientOptions {
  /** Ends every request when it fires: the run is over. */
  signal: AbortSignal;
  /** How long one try may take. Default 30,000 ms. */
  timeoutMs?: number;
  /** Tries after the first one. Default 3. */
  retries?: number;
  /** The wait before try n+1, in ms, before jitter. Default 1,000 · 2^(n-1), at most 30,000. */
  backoffMs?: (attempt: number) => number;
  now?: () => Date;
}

/** Up to here an answer's own wait is waited for. */
const longestWaitMs = 60_000;
const longestBackoffMs = 30_000;

/** 429 and every 5xx, those that only proxies use (520, 529) too. */
const retriedStatusCodes = [429, ...Array.from({ length: 100 }, (_, index) => 500 + index)];

/**
 * Outgoing HTTP with a timeout, and with retries on 429, 5xx and network failures (timeouts too): exponential
 * backoff, full jitter. A wait that the answer asks for (see `askedWaitMs`) is obeyed: up to a minute, or a caller's own
 * `retry.maxRetryAfter`, it is waited for, a longer one ends the tries. Any other 4xx is thrown at once as ky's
 * `HTTPError`.
 *
 * Who did not answer may have done the work: POST and PATCH are repeated only with an `Idempotency-Key`, or where the
 * caller says so (`retry: { methods: ["post"] }`).
 */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { signal, timeoutMs = 30_000, retries = 3, now = () => new Date() } = options;
  return ky.create({
    signal,
    timeout: timeoutMs,
    retry: {
      limit: retries,
      methods: ["get", "head", "put", "delete", "options"],
      statusCodes: retriedStatusCodes,
      maxRetryAfter: longestWaitMs,
      backoffLimit: longestBackoffMs,
      delay: options.backoffMs ?? ((attempt) => 1000 * 2 ** (attempt - 1)),
      retryOnTimeout: true,
    },
    headers: { "user-agent": "daybook" },
    // Once a request, with what its caller has added: no caller's own rule takes the place of these.
    hooks: { init: [(request) => void (request.retry = politeRetry(request, now))] },
  });
}

/** ky itself would take the end of a limit for a wait with any status, and come too early where a wait is too long. */
function politeRetry({ retry, headers }: Options, now: () => Date): RetryOptions {
  const told = typeof retry === "number" ? { limit: retry } : retry ?? {};
  const { methods = [], maxRetryAfter = longestWaitMs, backoffLimit = longestBackoffMs } = told;
  let askedMs: number | undefined;
  return {
    ...told,
    methods: new Headers(headers as HeadersInit).has("idempotency-key")
      ? [...methods, "post", "patch"]
      : methods,
    afterStatusCodes: [],
    backoffLimit: Infinity,
    jitter: false,
    shouldRetry(state) {
      const { error } = state;
      if (asksForLonger(error, maxRetryAfter, now())) return false;
      askedMs = isHTTPError(error) ? askedWaitMs(error.response, now()) : undefined;
      return told.shouldRetry?.(state);
    },
    delay: (attempt) =>
      askedMs ?? Math.random() * Math.min(backoffLimit, told.delay?.(attempt) ?? 0),
  };
}
