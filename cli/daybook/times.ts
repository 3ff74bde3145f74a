/** Moments as people read and write them. */
import { CommandError, exitCodes } from "./io.ts";

/** `2026-03-02 12:00:05` on the clock of that zone. */
export function clockTime(moment: string | Date, zone: string): string {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  }).formatToParts(new Date(moment));
  const part = (type: string) => parts.find((part) => part.type === type)!.value;
  const year = part("year").padStart(4, "0");
  return `${year}-${part("month")}-${part("day")} ${part("hour")}:${part("minute")}:${
    part("second")
  }`;
}

/** The time in the job's zone, with the zone; nothing where the reader's own clock shows the same. */
export function jobsTime(moment: string, jobZone: string | null, zone: string): string {
  if (jobZone === null || !isZone(jobZone)) return "";
  const theirs = clockTime(moment, jobZone);
  return theirs === clockTime(moment, zone) ? "" : `${theirs} ${jobZone}`;
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** How long ago, or until: `12 s`, `5 min`, `3 h`, `2 d`. */
export function span(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** What options say of the moments they take. */
export const momentForms =
  `A time is ISO 8601 with an offset (2026-03-02T12:00:00Z), a day or a time on your clock (2026-03-02, "2026-03-02 12:00"), now, today or yesterday (their midnight), or a span of s, m, h or d (90m, 2d).`;

/**
 * The moment that a person wrote, as the API takes it. A span counts from now: back, or with `ahead` forward.
 *
 * @param option For the message, `--from` say.
 * @throws CommandError when it is none, or a time that the zone's clock leaves out or shows twice.
 */
export function readMoment(option: string, text: string, clock: ReaderClock): string {
  const moment = momentBy(option, text, clock);
  // What the database takes as ISO 8601: the years from 1 to 9999.
  if (!/^(?!0000)\d{4}-/.test(moment)) throw noMoment(option, text);
  return moment;
}

interface ReaderClock {
  now: Date;
  zone: string;
  /** Whether a span counts forward. */
  ahead?: boolean;
}

function momentBy(option: string, text: string, { now, zone, ahead = false }: ReaderClock): string {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (amount !== undefined) {
    const ms = Number(amount) * unitMs[unit as keyof typeof unitMs];
    return new Date(now.getTime() + (ahead ? ms : -ms)).toISOString();
  }
  const today = clockTime(now, zone).slice(0, 10);
  if (text === "now") return now.toISOString();
  if (text === "today") return startOfDay(option, today, zone);
  if (text === "yesterday") {
    const before = new Date(Date.parse(`${today}T00:00:00Z`) - unitMs.d);
    return startOfDay(option, before.toISOString().slice(0, 10), zone);
  }
  const [, day, time, offset] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?(Z|[+-]\d\d(?::?\d\d)?)?$/.exec(
      text,
    ) ?? [];
  // The years of a calendar begin with 1.
  if (day === undefined || !isDay(day) || day.startsWith("0000")) throw noMoment(option, text);
  if (offset === undefined) {
    return time === undefined
      ? startOfDay(option, day, zone)
      : localMoment(option, `${day} ${time}`, zone);
  }
  const whole = offset.replace(
    /^([+-]\d\d)(\d\d)?$/,
    (_, hours, minutes) => `${hours}:${minutes ?? "00"}`,
  );
  const moment = new Date(`${day}T${time ?? "00:00"}${whole}`);
  if (Number.isNaN(moment.getTime())) throw noMoment(option, text);
  return moment.toISOString();
}

/** `Date.parse` takes February 30 for March 2. */
function isDay(day: string): boolean {
  const parsed = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(day);
}

function noMoment(option: string, text: string): CommandError {
  return new CommandError(exitCodes.usage, `${option} is no time: ${text}`, momentForms);
}

/** Midnight, or the first moment of a day that has none. */
function startOfDay(option: string, day: string, zone: string): string {
  for (let minutes = 0; minutes <= 180; minutes += 30) {
    const time = `${day} 0${Math.floor(minutes / 60)}:${minutes % 60 === 0 ? "00" : "30"}`;
    const found = momentsOf(time, zone)[0];
    if (found !== undefined) return found.toISOString();
  }
  throw noMoment(option, day);
}

function localMoment(option: string, time: string, zone: string): string {
  const found = momentsOf(time, zone);
  if (found.length === 1) return found[0]!.toISOString();
  if (Number.isNaN(Date.parse(`${time.replace(" ", "T")}Z`))) throw noMoment(option, time);
  const why = found.length === 0 ? "has no" : "has twice";
  throw new CommandError(
    exitCodes.usage,
    `${option}: the clock of ${zone} ${why} ${time}`,
    found.length === 0
      ? "give the time with its offset"
      : `give the time with its offset: ${
        found.map((moment) => moment.toISOString()).join(" or ")
      }`,
  );
}

/** The moments at which the zone's clock shows that time: one, none where it jumps forward, two where it jumps back. */
function momentsOf(time: string, zone: string): Date[] {
  const asUtc = Date.parse(`${time.replace(" ", "T")}Z`);
  if (Number.isNaN(asUtc)) return [];
  const offsets = [-unitMs.d, unitMs.d].map((shift) => {
    const near = new Date(asUtc + shift);
    return Date.parse(`${clockTime(near, zone).replace(" ", "T")}Z`) -
      Math.floor(near.getTime() / 1000) * 1000;
  });
  // Beside the first and the last day of the calendar is a year that ISO 8601 does not write with four digits.
  return [...new Set(offsets.filter(Number.isFinite))].map((offset) => new Date(asUtc - offset))
    .filter((moment) => clockTime(moment, zone) === clockTime(new Date(asUtc), "UTC"))
    .sort((a, b) => a.getTime() - b.getTime());
}
