import { isWithin } from "../../../shared/base-url.ts";
import type { HttpClient } from "../../../shared/http-client.ts";
import { errorMessage } from "../../../shared/job/errors.ts";
import { readRetryAfter } from "../../../shared/retry-after.ts";
import { readText } from "../../../shared/read-text.ts";
import { printable } from "../../../shared/text.ts";
import { nextPage } from "./link-header.ts";

/** How far a run goes with GitHub. */
export interface GithubLimits {
  /** How long one try of a reading request may take. Each is tried twice. */
  requestTimeoutMs: number;
  /** How long the comment's request may take; GitHub itself ends a request after 10 s. */
  postTimeoutMs: number;
  /** Pages of one list, of up to 100 entries each. */
  maxPages: number;
  /** Requests of one run. */
  maxRequests: number;
  /** How much of the token's primary rate limit is left to others. */
  keepRemaining: number;
  /** What is left of the run for the report and the comment. */
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
 * `unchanged`: 304, the answer is the one whose ETag was sent. `refused`: GitHub answered that it will not (4xx).
 * `failed`: no answer that can be used. `stopped`: not asked, and no other request of this run will be.
 */
export type Answer =
  | { kind: "ok"; body: unknown; etag: string | null; next: string | null }
  | { kind: "unchanged" }
  | { kind: "refused"; status: number; problem: string }
  | { kind: "failed"; problem: string }
  | { kind: "stopped"; problem: string };

/** `created`: the comment is there. `refused`: it is not, and will not be. `unknown`: it may be, now or later. */
export type PostAnswer =
  | { kind: "created"; body: unknown }
  | { kind: "refused"; problem: string }
  | { kind: "unknown"; problem: string };

export interface Github {
  /** Without a slash at the end. */
  readonly baseUrl: string;
  readonly limits: GithubLimits;
  /** Why no further request is made in this run; null while there may be one. */
  stopped(): string | null;
  get(url: string, etag?: string): Promise<Answer>;
  /** Sends the body once: no retry, not even by the platform, no redirect. */
  post(url: string, body: unknown): Promise<PostAnswer>;
}

export interface GithubOptions {
  http: HttpClient;
  /**
   * Where the REST API is, `https://api.github.com` or a GitHub Enterprise Server's `https://<host>/api/v3`, as
   * `readBaseUrl` gives it.
   */
  baseUrl: string;
  token: string;
  signal: AbortSignal;
  remainingMs(): number;
  now(): Date;
  limits: GithubLimits;
}

const mostRedirects = 3;
/** A page of 100 issues with long texts has some 3 MiB. */
const maximumAnswerBytes = 10 * 1024 * 1024;
/** After so many requests in a row without any answer GitHub is not asked again in this run. */
const mostUnanswered = 2;

/**
 * GitHub's REST API, one request after the other, as its documentation asks for: conditional where an ETag is known,
 * redirects followed only within the API, and no request any more once it limits the rate, refuses the token, does not
 * answer, or the budget of the run is used up. Throws only when `signal` fires.
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

  /** The `message` of GitHub's error bodies, which are kept: without the token, should one say it. */
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

  /** Two tries and the wait between them, the reading of the body too. */
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

  /** What every answer says about the next request. */
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
          return { kind: "failed", problem: `GitHub redirects without end or aim (${status})` };
        }
        const target = URL.parse(location, url);
        if (target === null) {
          return { kind: "failed", problem: `GitHub redirects to what is no address (${status})` };
        }
        url = target.href;
        continue;
      }
      if (status !== 200) {
        // A limit is not an answer about what was asked.
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
        // Deno sends a request that it could send again a second time when a pooled connection breaks, although the
        // server may have worked on it. A stream it cannot send again.
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
    // The status says what became of it; a body that breaks off changes nothing.
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

/** A primary limit says that nothing remains, a secondary one when to come again or, at the least, what it is. */
function isRateLimited(response: Response, message: string): boolean {
  return response.status === 429 || response.status === 403 && (
        response.headers.get("x-ratelimit-remaining") === "0" ||
        response.headers.has("retry-after") ||
        /rate limit/i.test(message)
      );
}

/** The status of what the HTTP client throws for a 5xx; null for what is no answer. */
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
