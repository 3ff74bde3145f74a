import { isHTTPError } from "ky";

/** As senders write dates, and the two obsolete forms that are to be understood (RFC 9110, 5.6.7). */
const dates = [
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]+day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/,
];

/** Where servers say when a limit ends, in the order in which they are believed. */
const resetHeaders = [
  "ratelimit-reset",
  "x-ratelimit-retry-after",
  "x-ratelimit-reset",
  "x-rate-limit-reset",
];

/**
 * What a `Retry-After` says: whole seconds or a date (RFC 9110, 10.2.3), in milliseconds from now, 0 for a date that
 * has passed; undefined when it says nothing that can be read.
 */
export function readRetryAfter(value: string | null, now: Date): number | undefined {
  const text = value?.trim() ?? "";
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  if (!dates.some((form) => form.test(text))) return undefined;
  // The oldest form names no zone and means GMT.
  const at = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now.getTime());
}

/**
 * When a limit ends, in milliseconds from now. No standard says how: seconds from now (IETF drafts), seconds since the
 * epoch (GitHub), milliseconds since the epoch (OpenRouter).
 */
export function readReset(value: string | null, now: Date): number | undefined {
  const text = value?.trim() ?? "";
  const number = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  // 1e9 seconds from now would be 31 years, 1e12 seconds since the epoch the year 33658.
  if (number < 1e9) return readRetryAfter(text, now);
  return Math.max(0, (number < 1e12 ? number * 1000 : number) - now.getTime());
}

/**
 * How long an answer asks to be left alone, in milliseconds: its `Retry-After`, or the end of the limit that it was
 * refused for (429, 403). With any other status that limit is not what failed, and GitHub says its end with each answer.
 */
export function askedWaitMs(
  { status, headers }: Pick<Response, "status" | "headers">,
  now: Date,
): number | undefined {
  const retryAfter = readRetryAfter(headers.get("retry-after"), now);
  if (retryAfter !== undefined || (status !== 429 && status !== 403)) return retryAfter;
  return resetHeaders.map((name) => readReset(headers.get(name), now)).find((ms) =>
    ms !== undefined
  );
}

/** Whether the error is an answer that asks to be left alone for longer than that: to come again before is too early. */
export function asksForLonger(error: unknown, longestMs: number, now: Date): boolean {
  return isHTTPError(error) && (askedWaitMs(error.response, now) ?? 0) > longestMs;
}
