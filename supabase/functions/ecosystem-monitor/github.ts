import { isWithin } from "../../../shared/base-url.ts";
import type { HttpClient } from "../../../shared/http-client.ts";
import { errorMessage } from "../../../shared/job/errors.ts";
import { readRetryAfter } from "../../../shared/retry-after.ts";
import { readText } from "../../../shared/read-text.ts";
import { printable } from "../../../shared/text.ts";
import { nextPage } from "./link-header.ts";

/** The limits of a run's use of GitHub. */
export interface GithubLimits {
  /** The longest duration of one try of a GET. Each GET gets two tries. */
  requestTimeoutMs: number;
  /** The longest duration of the comment's request. GitHub itself ends a request after 10 s. */
  postTimeoutMs: number;
  /** The most pages of one list, with up to 100 entries each. */
  maxPages: number;
  /** The most requests of one run. */
  maxRequests: number;
  /** The part of the token's primary rate limit that is left for its other users. */
  keepRemaining: number;
  /** The time reserved for the report and the comment. */
  reserveMs: number;
}

export const githubLimits: GithubLimits = {
  requestTimeoutMs: 10_000,
  postTimeoutMs: 15_000,
  maxPages: 10,
  maxRequests: 400,
  keepRemaining: 100,
  reserveMs: 45_000,
};

/**
 * `unchanged`: 304, the answer with the sent ETag is still current. `refused`: GitHub refused the request (4xx).
 * `failed`: no usable answer. `stopped`: the request was not sent, and this run sends no other.
 */
export type Answer =
  | { kind: "ok"; body: unknown; etag: string | null; next: string | null }
  | { kind: "unchanged" }
  | { kind: "refused"; status: number; problem: string }
  | { kind: "failed"; problem: string }
  | { kind: "stopped"; problem: string };

/** `created`: the comment exists. `refused`: it will never exist. `unknown`: it may exist now or later. */
export type PostAnswer =
  | { kind: "created"; body: unknown }
  | { kind: "refused"; problem: string }
  | { kind: "unknown"; problem: string };

export interface Github {
  /** The API's base URL without a slash at the end. */
  readonly baseUrl: string;
  readonly limits: GithubLimits;
  /** Why this run sends no further request; null while it may. */
  stopped(): string | null;
  get(url: string, etag?: string): Promise<Answer>;
  /** Sends the body once, with no redirect and no retry, not even one by the platform. */
  post(url: string, body: unknown): Promise<PostAnswer>;
}

export interface GithubOptions {
  http: HttpClient;
  /**
   * The REST API's base URL from `readBaseUrl`: `https://api.github.com`, or a GitHub Enterprise Server's
   * `https://<host>/api/v3`.
   */
  baseUrl: string;
  token: string;
  signal: AbortSignal;
  remainingMs(): number;
  now(): Date;
  limits: GithubLimits;
}

const mostRedirects = 3;
/** The largest body that is read. A page of 100 issues with long texts has some 3 MiB. */
const maximumAnswerBytes = 10 * 1024 * 1024;
/** After this many requests in a row without an answer, the run sends no further request to GitHub. */
const mostUnanswered = 2;

/**
 * A client of GitHub's REST API that sends one request after the other, as GitHub's documentation asks. Requests are
 * conditional where an ETag is known, and redirects are followed only within the API. The client stops when GitHub
 * limits the rate, refuses the token or does not answer, or when the run's budget is used up. Throws only when `signal`
 * fires.
 */
export function createGithub(options: GithubOptions): Github {
  const { baseUrl, token, signal, limits } = options;
  const http = options.http.extend({
    timeout: limits.requestTimeoutMs,
    retry: { limit: 1, maxRetryAfter: 5_000 },
    throwHttpErrors: (status) => status >= 500,
    redirect: "manual",
    headers: {
      accept: "application/vnd.github+json",
      authorization: `Bearer ${token}`,
      "x-github-api-version": "2022-11-28",
    },
  });
  let reason: string | null = null;
  let requests = 0;
  let unanswered = 0;

  /** The `message` of an error body. The token is removed, because the message is recorded. */
  const messageOf = (text: string) => {
    const body = parsed(text);
    const message = typeof body === "object" && body !== null && "message" in body
      ? body.message
      : null;
    return typeof message === "string"
      ? printable(message.replaceAll(token, "[redacted]"), 200)
      : "no message";
  };
  const stop = (why: string) => reason ??= why;

  /** A signal for all tries, the wait between them and the reading of the body. */
  const limitOf = (timeoutMs: number, tries: number) =>
    AbortSignal.any([signal, AbortSignal.timeout(timeoutMs * tries + (tries - 1) * 5_000)]);

  function mayAsk(): boolean {
    if (reason !== null) return false;
    if (requests >= limits.maxRequests) {
      stop(`${limits.maxRequests} requests were made, the most for a run`);
    } else if (options.remainingMs() < limits.reserveMs) {
      stop("the run had no time left for further requests");
    }
    return reason === null;
  }

  /** Stops the client when an answer's status or headers forbid the next request. */
  function heed(response: Response, message: string): void {
    const remaining = number(response.headers.get("x-ratelimit-remaining"));
    const resetsAt = number(response.headers.get("x-ratelimit-reset"));
    const until = resetsAt === null ? "" : ` until ${clock(resetsAt)}`;
    if (response.status === 401) {
      stop(`GITHUB_TOKEN is refused (401: ${message})`);
    } else if (isRateLimited(response, message)) {
      const waitMs = readRetryAfter(response.headers.get("retry-after"), options.now());
      const wait = waitMs === undefined ? "" : ` for ${Math.ceil(waitMs / 1000)} s`;
      const when = remaining === 0 ? until : wait;
      stop(`GitHub limits the rate${when} (${response.status}: ${message})`);
    } else if (remaining !== null && remaining <= limits.keepRemaining) {
      stop(`only ${remaining} requests of the token's rate limit are left${until}`);
    }
  }

  async function get(address: string, etag?: string): Promise<Answer> {
    let url = address;
    for (let redirects = 0;; redirects++) {
      if (!isWithin(url, baseUrl)) {
        return { kind: "failed", problem: "GitHub points outside of its API" };
      }
      if (!mayAsk()) return { kind: "stopped", problem: reason ?? "" };
      requests++;
      let response: Response;
      let text: string | undefined;
      try {
        response = await http.get(url, {
          signal: limitOf(limits.requestTimeoutMs, 2),
          ...(etag === undefined ? {} : { headers: { "if-none-match": etag } }),
        });
        text = await readText(response, maximumAnswerBytes);
      } catch (error) {
        signal.throwIfAborted();
        return failure(error);
      }
      unanswered = 0;
      const { status, headers } = response;
      const message = messageOf(text ?? "");
      heed(response, message);
      if (status === 304) return { kind: "unchanged" };
      if ([301, 302, 307, 308].includes(status)) {
        const location = headers.get("location");
        if (location === null || redirects >= mostRedirects) {
          return {
            kind: "failed",
            problem: `GitHub redirects (${status}) without a target, or too often`,
          };
        }
        const target = URL.parse(location, url);
        if (target === null) {
          return {
            kind: "failed",
            problem: `GitHub redirects (${status}) to something that is not a URL`,
          };
        }
        url = target.href;
        continue;
      }
      if (status !== 200) {
        // A rate limit or a refused token tells nothing about the requested resource.
        return reason !== null && [401, 403, 429].includes(status)
          ? { kind: "stopped", problem: reason }
          : { kind: "refused", status, problem: `GitHub answered ${status}: ${message}` };
      }
      if (text === undefined) return { kind: "failed", problem: "GitHub's answer is too long" };
      try {
        return {
          kind: "ok",
          body: JSON.parse(text),
          etag: headers.get("etag"),
          next: nextPage(headers.get("link")),
        };
      } catch {
        return { kind: "failed", problem: "GitHub's answer is not JSON" };
      }
    }
  }

  function failure(error: unknown): Answer {
    const status = statusOf(error);
    if (status !== null) {
      unanswered = 0;
      return { kind: "failed", problem: `GitHub answered ${status}` };
    }
    unanswered++;
    const problem = `GitHub did not answer (${printable(errorMessage(error), 200)})`;
    if (unanswered >= mostUnanswered) stop(problem);
    return { kind: "failed", problem };
  }

  async function post(url: string, body: unknown): Promise<PostAnswer> {
    requests++;
    let response: Response;
    try {
      response = await http.post(url, {
        // When a pooled connection breaks, Deno repeats a request whose body it still has, although the server may have
        // worked on it. It cannot repeat a stream.
        body: ReadableStream.from([new TextEncoder().encode(JSON.stringify(body))]),
        headers: { "content-type": "application/json" },
        timeout: limits.postTimeoutMs,
        retry: { limit: 0 },
        throwHttpErrors: false,
        signal: limitOf(limits.postTimeoutMs, 1),
      });
    } catch (error) {
      return {
        kind: "unknown",
        problem: `GitHub did not answer (${printable(errorMessage(error), 200)})`,
      };
    }
    // The status alone decides the outcome, so an error while reading the body does not matter.
    const text = await readText(response, maximumAnswerBytes).catch(() => undefined) ?? "";
    const message = messageOf(text);
    heed(response, message);
    const { status } = response;
    if (status >= 200 && status < 300) return { kind: "created", body: parsed(text) };
    const problem = `GitHub answered ${status}: ${message}`;
    return { kind: status >= 500 || status === 408 ? "unknown" : "refused", problem };
  }

  return { baseUrl, limits, stopped: () => reason, get, post };
}

/** A primary limit has no requests remaining. A secondary one has a Retry-After or names itself in its message. */
function isRateLimited(response: Response, message: string): boolean {
  return response.status === 429 || response.status === 403 && (
        response.headers.get("x-ratelimit-remaining") === "0" ||
        response.headers.has("retry-after") ||
        /rate limit/i.test(message)
      );
}

/** The status of the HTTP client's error for a 5xx; null for an error without an answer. */
function statusOf(error: unknown): number | null {
  if (typeof error !== "object" || error === null || !("response" in error)) return null;
  return error.response instanceof Response ? error.response.status : null;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function number(header: string | null): number | null {
  return header !== null && /^\d{1,15}$/.test(header) ? Number(header) : null;
}

/** Seconds since the epoch as `12:34 UTC`. */
function clock(epochSeconds: number): string {
  const time = new Date(epochSeconds * 1000);
  return Number.isNaN(time.getTime())
    ? "an unknown time"
    : `${time.toISOString().slice(11, 16)} UTC`;
}
