import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { Finding } from "../finding.ts";
import { readTiming } from "../timing.ts";
import { namesOf } from "../words.ts";
import { clock, dateOf, type Stretch } from "../zones.ts";

/** Clocks that compare the wall clock alone, by their own code: a time that comes twice runs twice, one that is left out not at all. */
const wallClocks = ["pg_cron", "kubernetes"];

/** Local times that run 0 or 2 times on the days of a zone change. Daybook's own clock lets each come once. */
export function changeDays({ entries, timetable }: Audited): Finding[] {
  const found = entries.flatMap((entry) => {
    const days = entry.active && entry.engine !== "daybook"
      ? oddTimes(entry, timetable.stretches(entry.zone))
      : [];
    return days.length === 0 ? [] : [{ entry, days }];
  });
  return [true, false].flatMap((isKnown): Finding[] => {
    const list = found.filter(({ entry }) => wallClocks.includes(entry.engine) === isKnown);
    if (list.length === 0) return [];
    return [{
      rule: "change-days",
      severity: isKnown ? "warning" : "note",
      certainty: isKnown ? "proven" : "not knowable here",
      title: `${namesOf(list.map(({ entry }) => entry))}: local times that ${
        isKnown ? "run" : "may run"
      } 0 or 2 times on the days of a zone change`,
      entries: list.map(({ entry }) => entry),
      evidence: list.map(({ entry, days }) => `${entry.name}, ${entry.zone}: ${days.join("; ")}`),
      cost: isKnown
        ? "On that day the work is left out, or done twice"
        : "Cron programs differ: Vixie's makes up for it, others leave out or repeat",
      mend:
        "Move it out of the hours of the change, 01:00 to 03:00 mostly, or let the work mark its day",
    }];
  });
}

function oddTimes({ schedule, engine }: Entry, stretches: readonly Stretch[]): string[] {
  const timing = readTiming(schedule, engine);
  // What runs every hour goes on every hour: that is what it is for.
  if (timing.kind !== "fields" || timing.hours.length === 24) return [];
  const times = timing.hours.flatMap((hour) => timing.minutes.map((minute) => hour * 60 + minute));
  return stretches.slice(1).flatMap((after, index) => {
    const before = stretches[index]!;
    const [low, high] = [after.from + before.offset, after.from + after.offset]
      .sort((a, b) => a - b) as [number, number];
    const inside: string[] = [];
    for (let day = Math.floor(low / 1440); day * 1440 < high; day++) {
      if (!timing.isDay(new Date(day * 86_400_000))) continue;
      for (const time of times) {
        const at = day * 1440 + time;
        if (at >= low && at < high) inside.push(clock(at));
      }
    }
    if (inside.length === 0) return [];
    const count = after.offset > before.offset ? "not at all" : "twice";
    const shown = inside.length > 3 ? `${inside[0]} to ${inside.at(-1)}` : inside.join(", ");
    return [`${dateOf(low)} ${shown} ${count}`];
  });
}
