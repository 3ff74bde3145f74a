import { isHTTPError } from "ky";

/** As senders write dates, and the two obsolete forms that are to be understood (RFC 9110, 5.6.7). */
const dates = [
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]+day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/,
];

/**
 * How long an answer asks to be left alone: its `Retry-After`, whole seconds or a date (RFC 9110, 10.2.3), in
 * milliseconds from now, 0 for a date that has passed; undefined when it says nothing that can be read.
 */
export function retryAfterMs({ headers }: Response, now: Date): number | undefined {
  const text = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  if (!dates.some((form) => form.test(text))) return undefined;
  // The oldest form names no zone and means GMT.
  const at = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now.getTime());
}

/** Whether the error is an answer that asks to be left alone for longer than that: to come again before is too early. */
export function asksForLonger(error: unknown, longestMs: number, now: Date): boolean {
  return isHTTPError(error) && (retryAfterMs(error.response, now) ?? 0) > longestMs;
}
