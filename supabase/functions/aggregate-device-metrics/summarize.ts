import { counted } from "../../../shared/text.ts";

/** The counts of a run so far. */
export interface Figures {
  hours: number;
  days: number;
  deviceRows: number;
  rowsWritten: number;
  hoursLeft: number;
  daysLeft: number;
  /** Impossible device times that were corrected when they were written; a line of the activity log names them. */
  oddTimes: number;
  /** Every hour before this one is computed; null when the run did not learn it. */
  caughtUpTo: string | null;
  /** Why the run stopped: all is computed, it reached `maxHours`, or its time ran out. */
  stopped: "done" | "limit" | "time";
}

/** Hours and minutes in UTC, with the date unless it is today. */
function clock(moment: Date, now: Date): string {
  const [date, time] = [
    moment.toISOString().slice(0, 10),
    moment.toISOString().slice(11, 16),
  ];
  return date === now.toISOString().slice(0, 10) ? time : `${date} ${time}`;
}

/** One line for lists: "24 hours, 1,204 device rows, caught up to 13:00". */
export function summarize(figures: Figures, now: Date): string {
  const { hours, days, deviceRows, hoursLeft, daysLeft, oddTimes, caughtUpTo, stopped } = figures;
  const parts = [counted(hours, "hour")];
  if (days > 0) parts.push(counted(days, "day"));
  parts.push(counted(deviceRows, "device row"));
  if (caughtUpTo !== null) {
    parts.push(`caught up to ${clock(new Date(caughtUpTo), now)}`);
  }
  if (oddTimes > 0) parts.push(`${counted(oddTimes, "odd time")} set right`);
  if (hoursLeft > 0) parts.push(`${counted(hoursLeft, "hour")} left`);
  if (days > 0 && daysLeft > 0) parts.push(`${counted(daysLeft, "day")} left`);
  if (stopped === "time") parts.push("stopped for want of time");
  return parts.join(", ");
}
