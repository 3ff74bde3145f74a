/** The schedule of an entry as Daybook has it. */

/** The schedule as `register_job` takes it: `L` in the place of pg_cron's `$`, the last day of a month; single blanks. */
export function scheduleForDaybook(schedule: string): string {
  const text = schedule.trim().toLowerCase().replace(/\s+/g, " ");
  const [, seconds] = /^0*(\d+) seconds?$/.exec(text) ?? [];
  return seconds === undefined ? text.replaceAll("$", "L") : `${seconds} seconds`;
}
