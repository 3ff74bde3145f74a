import { readRetryAfter } from "../../../shared/retry-after.ts";

/** A year. A longer wait in a header is ignored as invalid. */
const furthestMs = 366 * 86_400_000;

/** A non-negative whole number, as in `x-ratelimit-remaining`. */
export function readCount(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text.trim()) ? Number(text) : undefined;
}

/** A moment in seconds since the epoch, as in GitHub's `x-ratelimit-reset`. */
export function readEpoch(text: string | null, now: Date): Date | undefined {
  const seconds = readCount(text);
  return seconds === undefined ? undefined : near(seconds * 1000, now);
}

/** The time at which the wait of a `Retry-After` ends. */
export function readRetryAfterTime(text: string | null, now: Date): Date | undefined {
  const ms = readRetryAfter(text, now);
  return ms === undefined ? undefined : near(now.getTime() + ms, now);
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration from now as OpenAI writes it in `x-ratelimit-reset-requests`: `1s`, `6m0s`, `12ms`. */
export function readDuration(text: string | null, now: Date): Date | undefined {
  if (text === null || !/^(\d+(\.\d+)?(ms|[smhd]))+$/.test(text)) {
    return undefined;
  }
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)) {
    ms += Number(amount) * unitMs[unit as keyof typeof unitMs];
  }
  return near(now.getTime() + ms, now);
}

/**
 * GitHub's `github-authentication-token-expiration`: `2026-12-01 10:00:00 UTC`, or with an offset
 * (`2026-12-01 12:00:00 +0200`); google/go-github has seen both (pull request 2650). `undefined` for any other form.
 */
export function readExpiration(text: string): Date | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d) ?(?:UTC|Z|([+-]\d\d):?(\d\d))$/
    .exec(
      text.trim(),
    );
  if (match === null) return undefined;
  const [, day, time, hours, minutes] = match;
  const moment = Date.parse(
    `${day}T${time}${hours === undefined ? "Z" : `${hours}:${minutes}`}`,
  );
  return Number.isNaN(moment) ? undefined : new Date(moment);
}

function near(ms: number, now: Date): Date | undefined {
  return Math.abs(ms - now.getTime()) <= furthestMs ? new Date(ms) : undefined;
}
