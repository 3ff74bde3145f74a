import ky, { type KyInstance } from "ky";
import { asksForLonger } from "./retry-after.ts";

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
}

/** Up to here a `Retry-After` is waited for. */
const longestWaitMs = 60_000;

/** 429 and every 5xx, those that only proxies use (520, 529) too. */
const retriedStatusCodes = [429, ...Array.from({ length: 100 }, (_, index) => 500 + index)];

/**
 * Outgoing HTTP with a timeout, and with retries on 429, 5xx and network failures (timeouts too): exponential
 * backoff, full jitter, `Retry-After` obeyed: up to a minute it is waited for, a longer one ends the tries. Any other
 * 4xx is thrown at once as ky's `HTTPError`.
 * All methods are retried: send an `Idempotency-Key` where repeating would do harm.
 */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const { signal, timeoutMs = 30_000, retries = 3 } = options;
  return ky.create({
    signal,
    timeout: timeoutMs,
    retry: {
      limit: retries,
      methods: ["get", "head", "post", "put", "patch", "delete", "options"],
      statusCodes: retriedStatusCodes,
      afterStatusCodes: retriedStatusCodes,
      maxRetryAfter: longestWaitMs,
      backoffLimit: 30_000,
      delay: options.backoffMs ?? ((attempt) => 1000 * 2 ** (attempt - 1)),
      jitter: true,
      retryOnTimeout: true,
      shouldRetry: ({ error }) =>
        asksForLonger(error, longestWaitMs, new Date()) ? false : undefined,
    },
    headers: { "user-agent": "daybook" },
  });
}
