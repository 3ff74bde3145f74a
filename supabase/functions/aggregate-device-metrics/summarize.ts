import type { Figures } from "./aggregate.ts";

const number = new Intl.NumberFormat("en-US");

function plural(count: number, noun: string): string {
  return `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;
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
  const { hours, days, deviceRows, hoursLeft, daysLeft, caughtUpTo, stopped } = figures;
  const parts = [plural(hours, "hour")];
  if (days > 0) parts.push(plural(days, "day"));
  parts.push(plural(deviceRows, "device row"));
  if (caughtUpTo !== null) {
    parts.push(`caught up to ${clock(new Date(caughtUpTo), now)}`);
  }
  if (hoursLeft > 0) parts.push(`${plural(hoursLeft, "hour")} left`);
  if (days > 0 && daysLeft > 0) parts.push(`${plural(daysLeft, "day")} left`);
  if (stopped === "time") parts.push("stopped for want of time");
  return parts.join(", ");
}
