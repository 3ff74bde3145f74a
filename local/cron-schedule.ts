/** When a pg_cron entry is due: the reading of it is cron-parser's, what pg_cron does otherwise is here. */
import { CronExpressionParser } from "cron-parser";

/**
 * True when `schedule` is due in the minute of `date`, in UTC; never for one in seconds. Throws when it
 * cannot be read.
 */
export function isDue(schedule: string, date: Date): boolean {
  if (periodMs(schedule) !== undefined) return false;
  const text = schedule.trim();
  if (/^@reboot$/i.test(text)) return false;
  if (text.startsWith("@")) return matches(text, date);
  const [minute, hour, day, month, weekday] = text.replaceAll("$", "L").split(/\s+/);
  const entry = (dayOfMonth: string, dayOfWeek: string) =>
    matches(`${minute} ${hour} ${dayOfMonth} ${month} ${dayOfWeek}`, date);
  // pg_cron lets either day field decide, unless one of them begins with a star: then both must hold,
  // and to it a step over all (*/2) is such a star.
  if (day!.startsWith("*") || weekday!.startsWith("*")) {
    return entry(day!, "*") && entry("*", weekday!);
  }
  return entry(day!, weekday!);
}

/** The milliseconds from one start to the next of `N seconds`; undefined for any other schedule. */
export function periodMs(schedule: string): number | undefined {
  const [, seconds] = /^\s*0*([1-9]|[1-5]\d)\s*second(?:s\s*)?$/i.exec(schedule) ?? [];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/** True when its minute or its hour is left open: such an entry is not made up for after a jump. */
export function isWildcard(schedule: string): boolean {
  return /^\s*\*|^\s*\S+\s+\*/.test(schedule);
}

const MINUTE_MS = 60_000;

function matches(expression: string, date: Date): boolean {
  const minute = new Date(Math.floor(date.getTime() / MINUTE_MS) * MINUTE_MS);
  return CronExpressionParser.parse(expression, { tz: "UTC" }).includesDate(minute);
}
