import { readReset, readRetryAfter } from "./retry-after.ts";

/** What an API says of its limit: how many calls are left, and when it begins anew, if it says that. */
export interface RateLimit {
  left: number;
  resetsAt: Date | null;
}

/** `X-Rate-Limit-*` (X), `X-RateLimit-*` (GitHub and many others), `RateLimit-*` (IETF drafts until 07). */
const prefixes = ["x-rate-limit-", "x-ratelimit-", "ratelimit-"];

/**
 * Reads what an answer's headers say of the limit of its API; undefined when they say nothing that can be read.
 *
 * In this order: a `Retry-After` (nothing is left until then); the structured `RateLimit` of the IETF drafts, as
 * `"burst";r=5;t=1, "daily";r=900;t=4000` (draft 10) or `limit=100, remaining=50, reset=30` (draft 07); the separate
 * headers. A reset is read as `readReset` does: seconds from now or since the epoch.
 *
 * @param policy Which of several policies of a `RateLimit` is meant; else the one with the fewest left.
 */
export function readRateLimit(headers: Headers, now: Date, policy?: string): RateLimit | undefined {
  const waitMs = readRetryAfter(headers.get("retry-after"), now);
  if (waitMs !== undefined && waitMs > 0) {
    return { left: 0, resetsAt: new Date(now.getTime() + waitMs) };
  }
  const policies = readPolicies(headers.get("ratelimit") ?? "");
  const meant = policies.find(({ name }) => name === policy) ??
    policies.toSorted((a, b) => a.left - b.left)[0];
  if (meant !== undefined) return { left: meant.left, resetsAt: readMoment(meant.reset, now) };
  for (const prefix of prefixes) {
    const left = readCount(headers.get(`${prefix}remaining`));
    if (left !== undefined) {
      return { left, resetsAt: readMoment(headers.get(`${prefix}reset`), now) };
    }
  }
}

/** A whole number of at most 9 digits. */
function readCount(value: string | null | undefined): number | undefined {
  const text = value?.trim() ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function readMoment(value: string | null, now: Date): Date | null {
  const ms = readReset(value, now);
  return ms === undefined ? null : new Date(now.getTime() + ms);
}

interface Policy {
  name: string;
  left: number;
  reset: string | null;
}

/** The policies in a structured `RateLimit` that say how many are left. */
function readPolicies(text: string): Policy[] {
  const members = splitOutsideQuotes(text, ",").map((member) => splitOutsideQuotes(member, ";"));
  // Draft 07 is one policy, written as a dictionary.
  const isDictionary = members.some(([first]) => /^(limit|remaining|reset)=/.test(first ?? ""));
  const policies = isDictionary
    ? [{ name: "", parameters: members.flat() }]
    : members.map(([name = "", ...parameters]) => ({
      name: name.replaceAll(/^"|"$/g, ""),
      parameters,
    }));
  return policies.flatMap(({ name, parameters }) => {
    const values = new Map(
      parameters.map((parameter) => [
        parameter.slice(0, parameter.indexOf("=")),
        parameter.slice(parameter.indexOf("=") + 1),
      ]),
    );
    const left = readCount(values.get("r") ?? values.get("remaining"));
    if (left === undefined) return [];
    return [{ name, left, reset: values.get("t") ?? values.get("reset") ?? null }];
  });
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  return text.split(new RegExp(`${separator}(?=(?:[^"]*"[^"]*")*[^"]*$)`))
    .map((part) => part.trim());
}
