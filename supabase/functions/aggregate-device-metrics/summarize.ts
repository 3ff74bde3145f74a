import { counted } from "../../../shared/text.ts";

/** What a run has done so far. */
export interface Figures {
  hours: number;
  days: number;
  deviceRows: number;
  rowsWritten: number;
  hoursLeft: number;
  daysLeft: number;
  /** Reported times that cannot be and were set right as they were written; a line of the activity log names them. */
  oddTimes: number;
  /** Every hour before this one is computed; null while that is not known. */
  caughtUpTo: string | null;
  /** Why the run stopped: nothing left to do, its bound of hours, or its time. */
  stopped: "done" | "limit" | "time";
}

/** Hours and minutes in UTC; with the date when it is not today's. */
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
