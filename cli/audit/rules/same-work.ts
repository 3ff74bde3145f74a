import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { Finding } from "../finding.ts";
import {
  areSame,
  countBoth,
  countOf,
  everyMinute,
  isWithin,
  type Minutes,
  perYear,
} from "../timetable.ts";
import { readTiming } from "../timing.ts";
import { namesOf, scheduleOf } from "../words.ts";
import { counted } from "../../../shared/text.ts";

interface Timed {
  entry: Entry;
  minutes: Minutes;
}

/** The same work in several entries that start in the same minutes: all of them, or some. */
export function sameWork({ entries, timetable }: Audited): Finding[] {
  const groups = new Map<string, Timed[]>();
  for (const entry of entries) {
    const timing = readTiming(entry.schedule, entry.engine);
    // What starts at least once a minute covers every minute.
    const minutes = entry.active && timing.kind === "period" && timing.seconds <= 60
      ? everyMinute
      : timetable.minutesOf(entry);
    if (minutes === undefined || countOf(minutes) === 0) continue;
    const key = `${entry.section ?? ""}\n${entry.work.key}`;
    groups.set(key, [...groups.get(key) ?? [], { entry, minutes }]);
  }
  return [...groups.values()].filter((group) => group.length > 1).flatMap(findingsOf);
}

function findingsOf(group: Timed[]): Finding[] {
  const findings: Finding[] = [];
  const left: Timed[] = [];
  for (const one of group) {
    const first = left.find(({ minutes }) => areSame(minutes, one.minutes));
    if (first === undefined) left.push(one);
  }
  for (const first of left) {
    const same = group.filter(({ minutes }) => areSame(minutes, first.minutes));
    if (same.length > 1) findings.push(sameTimes(same));
  }
  const byCount = left.toSorted((a, b) => countOf(b.minutes) - countOf(a.minutes));
  const widest: Timed[] = [];
  for (const one of byCount) {
    if (!widest.some(({ minutes }) => isWithin(one.minutes, minutes))) widest.push(one);
  }
  for (const wide of widest) {
    const covered = group.filter(({ minutes }) =>
      !areSame(minutes, wide.minutes) && isWithin(minutes, wide.minutes)
    );
    if (covered.length > 0) findings.push(coveredBy(wide, covered));
  }
  for (const [index, one] of widest.entries()) {
    for (const other of widest.slice(index + 1)) {
      const shared = countBoth(one.minutes, other.minutes);
      if (shared > 0) findings.push(partly(one, other, shared));
    }
  }
  return findings;
}

/** What differs in labels of the payload alone is likely the same. */
function certaintyOf(entries: Entry[]): "proven" | "likely" {
  return new Set(entries.map(({ work }) => work.exactKey)).size === 1 ? "proven" : "likely";
}

function sameTimes(same: Timed[]): Finding {
  const entries = same.map(({ entry }) => entry);
  const [first] = entries as [Entry];
  const times = counted(perYear(countOf(same[0]!.minutes)), "time");
  return {
    rule: "same-work-same-times",
    severity: "error",
    certainty: certaintyOf(entries),
    title: `${namesOf(entries)} do the same at the same times`,
    entries,
    evidence: [
      `each starts ${first.work.label} at ${scheduleOf(first)}, ${times} a year`,
    ],
    cost: `${
      counted(perYear(countOf(same[0]!.minutes)) * (same.length - 1), "run")
    } a year for nothing, each at the same time as another`,
    mend: "Keep one of them",
  };
}

function coveredBy(wide: Timed, covered: Timed[]): Finding {
  const entries = [wide.entry, ...covered.map(({ entry }) => entry)];
  const runs = covered.reduce((sum, { minutes }) => sum + countOf(minutes), 0);
  return {
    rule: "same-work-covered",
    severity: "warning",
    certainty: certaintyOf(entries),
    title: `${wide.entry.name} starts ${wide.entry.work.label} whenever ${
      namesOf(covered.map(({ entry }) => entry))
    } ${covered.length === 1 ? "does" : "do"}`,
    entries,
    evidence: [
      `${scheduleOf(wide.entry)} covers ${
        [...new Set(covered.map(({ entry }) => entry.schedule))].join(", ")
      }`,
    ],
    cost: `${counted(perYear(runs), "run")} a year that another entry starts in the same minute`,
    mend: `Keep ${wide.entry.name} alone, or make the times of the others its own`,
  };
}

function partly(one: Timed, other: Timed, shared: number): Finding {
  const entries = [one.entry, other.entry];
  return {
    rule: "same-work-overlaps",
    severity: "warning",
    certainty: certaintyOf(entries),
    title: `${namesOf(entries)} start ${one.entry.work.label} in some of the same minutes`,
    entries,
    evidence: [
      `${scheduleOf(one.entry)} and ${scheduleOf(other.entry)} meet ${
        counted(perYear(shared), "time")
      } a year`,
    ],
    cost: `${counted(perYear(shared), "run")} a year that another entry starts in the same minute`,
    mend: "Make one schedule of both",
  };
}
