/** The schedule of an entry as Daybook has it. */

/** As `register_job` takes it: pg_cron's last day of a month is `$`, and blanks may be more than one. */
export function scheduleForDaybook(schedule: string): string {
  const text = schedule.trim().toLowerCase().replace(/\s+/g, " ");
  const [, seconds] = /^0*(\d+) seconds?$/.exec(text) ?? [];
  return seconds === undefined ? text.replaceAll("$", "L") : `${seconds} seconds`;
}
