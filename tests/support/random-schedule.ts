/** Random five-field schedules, the common forms and the odd ones. */
import type { Random } from "./random.ts";

const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const WEEKDAYS = "sun mon tue wed thu fri sat".split(" ");

export interface RandomScheduleOptions {
  /** Whether a restricted day field may begin with a star (a step over all): libraries differ on it. */
  starredDays: boolean;
  /** The most times a day that the schedule names. */
  timesPerDay?: number;
}

export function randomSchedule(random: Random, options: RandomScheduleOptions): string {
  const limit = options.timesPerDay ?? 1440;
  for (;;) {
    const minute = field(random, 0, 59, random.pick([0, 0.15]));
    const hour = field(random, 0, 23, random.pick([0, 0.4]));
    if (size(minute, 60) * size(hour, 24) > limit) continue;
    return [
      minute,
      hour,
      days(random, 1, 31, 0.5, options),
      named(random, field(random, 1, 12, 0.7), MONTHS, 1),
      named(random, days(random, 0, 6, 0.5, options), WEEKDAYS, 0),
    ].join(" ");
  }
}

function days(
  random: Random,
  first: number,
  last: number,
  free: number,
  options: RandomScheduleOptions,
): string {
  for (;;) {
    const text = field(random, first, last, free);
    if (text === "*") return text;
    if (text.startsWith("*") && !options.starredDays) continue;
    // A range over every day is no restriction to some libraries.
    if (size(text, last - first + 1) > last - first && !options.starredDays) continue;
    return text;
  }
}

function field(random: Random, first: number, last: number, free: number): string {
  if (random.chance(free)) return "*";
  const parts = random.chance(0.3) ? random.whole(2, 4) : 1;
  return Array.from({ length: parts }, () => part(random, first, last)).join(",");
}

function part(random: Random, first: number, last: number): string {
  const form = random.whole(1, 10);
  if (form === 1) return `*/${random.whole(1, last)}`;
  if (form <= 6) return String(random.whole(first, last));
  const from = random.whole(first, last - 1);
  const to = random.whole(from + 1, last);
  return form <= 8 ? `${from}-${to}` : `${from}-${to}/${random.whole(1, last)}`;
}

/** Writes some of the single numbers as names, in any case. */
function named(random: Random, text: string, names: string[], first: number): string {
  return text.split(",").map((part) => {
    if (!/^\d+$/.test(part) || !random.chance(0.5)) return part;
    const name = names[Number(part) - first]!;
    return random.pick([name, name.toUpperCase(), name[0]!.toUpperCase() + name.slice(1)]);
  }).join(",");
}

/** How many values a field names at most. */
function size(text: string, all: number): number {
  if (text.startsWith("*")) return all;
  return text.split(",").reduce((sum, part) => {
    const [from, to] = part.split("/")[0]!.split("-").map(Number);
    if (part.startsWith("*")) return sum + all;
    return sum + (to === undefined || Number.isNaN(to) ? 1 : to - from! + 1);
  }, 0);
}

/** A list for the day of month, in which one element at least is a sign. */
export function signedDaysOfMonth(random: Random): string {
  return list(
    random,
    () => random.pick(["L", "l", "LW", "lw", `L-${random.whole(1, 30)}`, nearest(random)]),
    () => part(random, 1, 31),
  );
}

/** The same for the day of week. */
export function signedDaysOfWeek(random: Random): string {
  const weekday = () => {
    const number = random.whole(0, 7);
    const name = WEEKDAYS[number % 7]!;
    return random.pick([String(number), name, name.toUpperCase()]);
  };
  return list(
    random,
    () => weekday() + (random.chance(0.4) ? random.pick(["L", "l"]) : `#${random.whole(1, 5)}`),
    () => random.chance(0.5) ? weekday() : part(random, 0, 6),
  );
}

/** The schedule with signs in one day field or both; a field that stays free may begin with a star. */
export function withDaySigns(random: Random, schedule: string): string {
  const fields = schedule.split(" ");
  const which = random.whole(1, 4);
  if (which !== 2) fields[2] = signedDaysOfMonth(random);
  if (which !== 1) fields[4] = signedDaysOfWeek(random);
  if (which <= 2 && random.chance(0.6)) fields[which === 1 ? 4 : 2] = "*";
  return fields.join(" ");
}

/** Mostly the days at which a weekend reaches over the end of a month. */
function nearest(random: Random): string {
  return `${random.chance(0.5) ? random.pick([1, 2, 28, 29, 30, 31]) : random.whole(1, 31)}${
    random.pick(["W", "w"])
  }`;
}

function list(random: Random, sign: () => string, plain: () => string): string {
  const parts = [sign()];
  while (random.chance(0.35)) {
    parts.splice(random.whole(0, parts.length), 0, random.chance(0.5) ? sign() : plain());
  }
  return parts.join(",");
}
