import type { Audited } from "../audited.ts";
import type { Finding } from "../finding.ts";
import { everOccurs, readTiming } from "../timing.ts";
import { namesOf } from "../words.ts";

/** Schedules that no day of the next 40 years meets, and such as cannot be read. */
export function neverOccurs({ entries, facts }: Audited): Finding[] {
  const never = entries.filter((entry) => {
    const timing = readTiming(entry.schedule, entry.engine);
    return entry.active && timing.kind === "fields" && !everOccurs(timing, facts.now);
  });
  const unreadable = entries.flatMap((entry) => {
    const timing = readTiming(entry.schedule, entry.engine);
    return entry.active && timing.kind === "unreadable" ? [{ entry, why: timing.why }] : [];
  });
  const findings: Finding[] = [];
  if (never.length > 0) {
    findings.push({
      rule: "never-occurs",
      severity: "error",
      certainty: "proven",
      title: `${namesOf(never)} never ${never.length === 1 ? "runs" : "run"}`,
      entries: never,
      evidence: never.map(({ schedule, where }) => `${where}: no day of 40 years is ${schedule}`),
      cost: "The work is never done, and nothing fails",
      mend: "Mend the day and the month; for the last day pg_cron has $",
    });
  }
  if (unreadable.length > 0) {
    findings.push({
      rule: "unreadable-schedule",
      severity: "error",
      certainty: "likely",
      title: `${namesOf(unreadable.map(({ entry }) => entry))}: the schedule cannot be read`,
      entries: unreadable.map(({ entry }) => entry),
      evidence: unreadable.map(({ entry, why }) => `${entry.where}: ${entry.schedule}: ${why}`),
      cost: "Unless its clock knows this form the work is never done",
      mend: "Five fields: minute, hour, day, month, weekday",
    });
  }
  return findings;
}
