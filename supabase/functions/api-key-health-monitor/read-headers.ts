/** A year; what a provider says beyond it is taken for garbage. */
const furthestMs = 366 * 86_400_000;

/** A whole number that is not negative, as in `x-ratelimit-remaining`. */
export function readCount(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text.trim()) ? Number(text) : undefined;
}

/** A moment in seconds since the epoch, as in GitHub's `x-ratelimit-reset`. */
export function readEpoch(text: string | null, now: Date): Date | undefined {
  const seconds = readCount(text);
  return seconds === undefined ? undefined : near(seconds * 1000, now);
}

/** `Retry-After` (RFC 9110, section 10.2.3): seconds from now, or an HTTP date. */
export function readRetryAfter(
  text: string | null,
  now: Date,
): Date | undefined {
  const seconds = readCount(text);
  if (seconds !== undefined) return near(now.getTime() + seconds * 1000, now);
  // The one form that may be sent: Sun, 06 Nov 1994 08:49:37 GMT.
  if (
    text === null ||
    !/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} [\d:]{8} GMT$/.test(text)
  ) {
    return undefined;
  }
  return near(Date.parse(text), now);
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
 * (`2026-12-01 12:00:00 +0200`); both have been seen by google/go-github (pull request 2650). `undefined` for
 * anything else.
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
