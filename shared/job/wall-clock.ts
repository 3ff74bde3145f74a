import { misconfigured } from "./errors.ts";
import type { Platform } from "./platform.ts";

const maximumReserveMs = 10_000;

/** How long a worker may live, in milliseconds; else the 150 s of Supabase's free plan. */
function wallClockMs(env: Platform["env"]): number {
  const text = env("WALL_CLOCK_LIMIT_SECONDS") ?? "150";
  const limitMs = Number(text) * 1000;
  if (!(limitMs > 0)) {
    throw misconfigured(`WALL_CLOCK_LIMIT_SECONDS must be a positive number, got ${text}`);
  }
  return limitMs;
}

/** What the function takes its wall clock for, in seconds; `invalid` where its variable is no positive number. */
export function wallClockText(env: Platform["env"]): string {
  try {
    return String(wallClockMs(env) / 1000);
  } catch {
    return "invalid";
  }
}

/**
 * How long jobs may work in a worker that has just booted, in milliseconds.
 *
 * @throws HttpError 500 `misconfigured` when `WALL_CLOCK_LIMIT_SECONDS` is not a positive number.
 */
export function longestWorkMs(env: Platform["env"]): number {
  const limitMs = wallClockMs(env);
  return limitMs - Math.min(maximumReserveMs, limitMs / 10);
}

/**
 * Until when jobs may work in this worker, in milliseconds since the epoch: the end of its wall clock
 * (`WALL_CLOCK_LIMIT_SECONDS` from its boot, else the 150 s of Supabase's free plan), less a tenth of it, at most
 * 10 s, in which receipts are delivered.
 *
 * @throws HttpError 500 `misconfigured` when `WALL_CLOCK_LIMIT_SECONDS` is not a positive number.
 */
export function endOfWork(platform: Pick<Platform, "env" | "bootedAt">): number {
  return platform.bootedAt + longestWorkMs(platform.env);
}

/**
 * When this worker's wall clock ends, in milliseconds since the epoch: `WALL_CLOCK_LIMIT_SECONDS` after its boot. Until
 * then a receipt may be delivered.
 *
 * @throws HttpError 500 `misconfigured` when `WALL_CLOCK_LIMIT_SECONDS` is not a positive number.
 */
export function endOfWallClock(platform: Pick<Platform, "env" | "bootedAt">): number {
  return platform.bootedAt + wallClockMs(platform.env);
}
