import { format, parseISO, subDays } from "date-fns";
import { formatInTimeZone } from "date-fns-tz";
import { z } from "zod";

/** When the platform's batch may begin: the settings `daily_batch.…`. */
export const windowSettings = z.object({
  "daily_batch.time_zone": z.string(),
  "daily_batch.run_at": z.string().regex(/^\d\d:\d\d$/),
  "daily_batch.window_hours": z.number().int(),
});
export type WindowSettings = z.infer<typeof windowSettings>;

export interface Place {
  /** Whether the batch may begin now. */
  open: boolean;
  /** The local date of the window that is open, or that was the last: YYYY-MM-DD. */
  date: string;
  /** The local time: HH:MM. */
  clock: string;
}

/**
 * Where a moment lies to the window, by the local time in its zone: also on the days on which the
 * clock is changed, and over midnight. Postgres' `batches.in_daily_window` says the same.
 */
export function placeInWindow(now: Date, settings: WindowSettings): Place {
  const local = formatInTimeZone(now, settings["daily_batch.time_zone"], "yyyy-MM-dd HH:mm");
  const [date, clock] = local.split(" ") as [string, string];
  const since = minutes(clock) - minutes(settings["daily_batch.run_at"]);
  return {
    open: (since + 1440) % 1440 < settings["daily_batch.window_hours"] * 60,
    date: since >= 0 ? date : format(subDays(parseISO(date), 1), "yyyy-MM-dd"),
    clock,
  };
}

/** The window in words: `03:00 to 06:00 America/New_York`. */
export function describeWindow(settings: WindowSettings): string {
  const from = settings["daily_batch.run_at"];
  const end = (minutes(from) + settings["daily_batch.window_hours"] * 60) % 1440;
  const to = [Math.floor(end / 60), end % 60].map((part) => String(part).padStart(2, "0"));
  return `${from} to ${to.join(":")} ${settings["daily_batch.time_zone"]}`;
}

/** Minutes since midnight of `HH:MM`. */
function minutes(clock: string): number {
  const [hours = 0, rest = 0] = clock.split(":").map(Number);
  return hours * 60 + rest;
}
