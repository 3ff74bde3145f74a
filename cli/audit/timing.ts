/** Reads a schedule. cron-parser reads the fields; what each clock does otherwise is here. */
import { cronNicknames } from "../cron-nicknames.ts";
import { CronExpressionParser } from "cron-parser";
import { periodMs } from "../../local/cron-schedule.ts";
import type { Engine } from "./entry.ts";

export type Timing =
  | Fields
  /** From one start to the next; on no grid. */
  | { kind: "period"; seconds: number }
  /** It does not run by the clock: `@reboot`, `@continuous`. */
  | { kind: "none" }
  | { kind: "unreadable"; why: string };

export interface Fields {
  kind: "fields";
  minutes: number[];
  hours: number[];
  /** Whether it runs on this day, given as midnight UTC of its date. */
  isDay(day: Date): boolean;
}

export function readTiming(schedule: string, engine: Engine): Timing {
  const text = schedule.trim();
  if (/^@(reboot|continuous)$/i.test(text)) return { kind: "none" };
  const period = periodOf(text, engine);
  if (period !== undefined) return { kind: "period", seconds: period };
  const fields = (cronNicknames[text.toLowerCase()] ?? text).split(/\s+/);
  if (fields.length !== 5) {
    return { kind: "unreadable", why: `it has ${fields.length} fields and needs 5` };
  }
  try {
    return fieldsOf(fields as [string, string, string, string, string], engine);
  } catch (error) {
    return { kind: "unreadable", why: (error as Error).message };
  }
}

function periodOf(text: string, engine: Engine): number | undefined {
  if (engine === "pg_cron") {
    const ms = periodMs(text);
    return ms === undefined ? undefined : ms / 1000;
  }
  const [, seconds] = /^(\d+) seconds?$/.exec(text) ?? [];
  if (seconds !== undefined) return Number(seconds);
  const [, count, unit] = /^@every (\d+)([smh])$/.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * { s: 1, m: 60, h: 3600 }[unit as "s"];
}

/** One field at a time: which days a month has is looked at in `isDay`. */
function fieldsOf(fields: [string, string, string, string, string], engine: Engine): Fields {
  const [minute, hour, day, month, weekday] = fields;
  const of = (...parts: string[]) => CronExpressionParser.parse(parts.join(" ")).fields;
  const days = of("0", "0", day.replaceAll("$", "L"), "*", "*").dayOfMonth.values as (
    | number
    | "L"
  )[];
  const months = of("0", "0", "*", month, "*").month.values as number[];
  const weekdays = (of("0", "0", "*", "*", weekday).dayOfWeek.values as number[])
    .map((value) => value % 7);
  // In a manifest of Kubernetes a step over all is no star.
  const isStar = (field: string) =>
    engine === "kubernetes" ? /^[*?](\/1)?$/.test(field) : /^[*?]/.test(field);
  const bothMustHold = isStar(day) || isStar(weekday);
  return {
    kind: "fields",
    minutes: of(minute, "*", "*", "*", "*").minute.values as number[],
    hours: of("0", hour, "*", "*", "*").hour.values as number[],
    isDay(date) {
      if (!months.includes(date.getUTCMonth() + 1)) return false;
      const tomorrow = new Date(date.getTime() + 86_400_000);
      const isDate = days.includes(date.getUTCDate()) ||
        (days.includes("L") && tomorrow.getUTCDate() === 1);
      const isWeekday = weekdays.includes(date.getUTCDay());
      return bothMustHold ? isDate && isWeekday : isDate || isWeekday;
    },
  };
}

/** Whether there is a day on which it runs, in the 40 years from this day on. */
export function everOccurs(fields: Fields, from: Date): boolean {
  const first = Math.floor(from.getTime() / 86_400_000);
  for (let day = first; day < first + 40 * 366; day++) {
    if (fields.isDay(new Date(day * 86_400_000))) return true;
  }
  return false;
}
