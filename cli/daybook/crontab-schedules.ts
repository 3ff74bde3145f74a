/** Schedules of the registry as other clocks read them. */
import { cronNicknames } from "../cron-nicknames.ts";

/** A job of the registry, as `GET status` has it. */
export interface ScheduledJob {
  name: string;
  target: string;
  schedule: string | null;
  time_zone: string;
  continuous: boolean;
  state: string;
  callable: boolean;
}

/** Which clock it is for. All take five fields; where they differ is in days. */
export type ClockKind = "cron" | "kubernetes" | "compose";

/** Five fields of numbers, or why that clock cannot say it. */
export type ClockSchedule = { fields: string; timeZone: string } | { reason: string };

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/** What such a clock makes of the job's schedule. */
export function scheduleFor(clock: ClockKind, job: ScheduledJob): ClockSchedule {
  if (job.state === "disabled") return { reason: "it is disabled" };
  if (job.target.startsWith("https://")) {
    return { reason: "its target is a URL, which Daybook calls itself" };
  }
  // Without the ledger, a call would do the work beside the run that tick sends.
  if (!job.callable) {
    return { reason: "its function is not served by serveJob(), or takes a secret of its own" };
  }
  if (job.continuous) return { reason: "it is continuous: the end of a run begins the next" };
  if (job.schedule === null) return { reason: "it has no schedule of its own" };
  const schedule = job.schedule.trim().toLowerCase();
  const [, seconds] = /^(\d+)\s+seconds?$/.exec(schedule) ?? [];
  if (seconds !== undefined) return ofSeconds(Number(seconds));
  const fields = (cronNicknames[schedule] ?? schedule).split(/\s+/);
  if (fields.length !== 5) return { reason: `${job.schedule} is not five fields` };
  const [minute, hour, dayOfMonth, month, dayOfWeek] = fields as [
    string,
    string,
    string,
    string,
    string,
  ];
  const numbers = [
    minute,
    hour,
    dayOfMonth,
    inNumbers(month, months, 1),
    daysInNumbers(dayOfWeek),
  ];
  if (numbers.some((field) => !/^[0-9*,/-]+$/.test(field))) {
    return { reason: "it has a day sign (L, W or #), which this clock does not know" };
  }
  if (clock !== "cron" && differsInDays(dayOfMonth, dayOfWeek)) {
    return {
      reason: `${dayOfMonth} of the month and ${dayOfWeek} of the week must both match, ` +
        "and for this clock either is enough",
    };
  }
  return { fields: numbers.join(" "), timeZone: job.time_zone };
}

/** Such a schedule lies on a grid from the epoch, in UTC. */
function ofSeconds(seconds: number): ClockSchedule {
  const minutes = seconds / 60;
  if (Number.isInteger(minutes) && 60 % minutes === 0) {
    return { fields: minutes === 60 ? "0 * * * *" : `*/${minutes} * * * *`, timeZone: "UTC" };
  }
  const hours = seconds / 3600;
  if (Number.isInteger(hours) && 24 % hours === 0) {
    return { fields: hours === 24 ? "0 0 * * *" : `0 */${hours} * * *`, timeZone: "UTC" };
  }
  return { reason: `every ${seconds} seconds is no even part of an hour or a day in minutes` };
}

/**
 * In cron as in Daybook both days must match where one of the fields begins with a star, also a star with a step. To
 * Kubernetes and supercronic only a plain star is one.
 */
function differsInDays(dayOfMonth: string, dayOfWeek: string): boolean {
  if (dayOfMonth === "*" || dayOfWeek === "*") return false;
  return dayOfMonth.startsWith("*") || dayOfWeek.startsWith("*");
}

function inNumbers(field: string, names: string[], first: number): string {
  return field.replace(/[a-z]+/g, (name) => {
    const place = names.indexOf(name);
    return place === -1 ? name : String(place + first);
  });
}

/** Kubernetes knows no 7, and no range that ends with Sunday: those become lists. */
function daysInNumbers(field: string): string {
  return inNumbers(field, days, 0).split(",").flatMap((part) => {
    const [, first, last, step] = /^(\d+)(?:-(\d+)(?:\/(\d+))?)?$/.exec(part) ?? [];
    if (first === undefined) return [part];
    const end = last === undefined ? Number(first) : Number(last) || (Number(first) > 0 ? 7 : 0);
    if (end < 7) return [part];
    const values: number[] = [];
    for (let day = Number(first); day <= end; day += Number(step ?? 1)) values.push(day % 7);
    return values.map(String);
  }).join(",");
}
