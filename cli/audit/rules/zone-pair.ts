import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { Finding } from "../finding.ts";
import type { Timetable } from "../timetable.ts";
import { readTiming } from "../timing.ts";
import { listed, namesOf } from "../words.ts";
import { counted } from "../../../shared/text.ts";
import { clock, dateOf, type ZonePair, zonePairs } from "../zones.ts";

/** Whether the name, the comment or the command says these letters, as a word of its own. */
export function says({ name, comment = "", command }: Entry, letters: string): boolean {
  return new RegExp(`(?<![a-z])${letters}(?![a-z])`, "i").test(`${name} ${comment} ${command}`);
}

export interface Pair {
  standard: Entry;
  summer: Entry;
  zone: ZonePair;
}

/** Two entries of the same work, one hour apart, of which one says standard time and the other summer time. */
export function pairsOf(entries: readonly Entry[]): Pair[] {
  const used = new Set<Entry>();
  return zonePairs.flatMap((zone) =>
    entries.flatMap((standard): Pair[] => {
      if (!standard.active || !says(standard, zone.standard) || used.has(standard)) return [];
      const summer = entries.find((other) =>
        other !== standard && other.active && !used.has(other) && says(other, zone.summer) &&
        other.section === standard.section && other.zone === standard.zone &&
        other.work.key === standard.work.key && areAnHourApart(standard, other)
      );
      if (summer === undefined) return [];
      used.add(standard).add(summer);
      return [{ standard, summer, zone }];
    })
  );
}

function areAnHourApart(one: Entry, other: Entry): boolean {
  const [a, b] = [one, other].map(({ schedule, engine }) => readTiming(schedule, engine));
  if (a?.kind !== "fields" || b?.kind !== "fields" || a.hours.length > 12) return false;
  const hours = (list: number[], by: number) =>
    list.map((hour) => (hour + by + 24) % 24).sort((x, y) => x - y).join();
  return a.minutes.join() === b.minutes.join() &&
    [1, -1].some((by) => hours(a.hours, by) === hours(b.hours, 0));
}

/** One local time as two entries: both run every day, so that a local day has two runs, and at a change one or three. */
export function zonePairRule({ entries, timetable }: Audited): Finding[] {
  return pairsOf(entries).flatMap(({ standard, summer, zone }) => {
    const pair = [summer, standard];
    const days = runsByLocalDay(pair, timetable, zone.zone);
    const wrong = [...days].filter(([, times]) => times.length !== 1);
    if (wrong.length === 0) return [];
    const usual = mostUsual([...days.values()].map((times) => times.length));
    const odd = [...days].filter(([, times]) => times.length !== usual);
    return [{
      rule: "zone-pair",
      severity: "warning",
      certainty: "proven",
      title: `${namesOf(pair)} are one local time as two entries, and both run`,
      entries: pair,
      evidence: [
        ...stretchesOfTimes(days),
        `so ${zone.zone} has ${counted(usual, "run")} a day; ${
          odd.length === 0 ? "on the days of a change too" : oddDays(odd)
        }`,
      ],
      cost: "Around a change the work is done twice, at another hour, or for the wrong day",
      mend:
        `One entry with the zone ${zone.zone}; pg_cron alone has none: run it each hour, and let the command look at the local time`,
    }];
  });
}

/** The local times at which these run, by local date; the first and the last day may be cut off, and are left out. */
export function runsByLocalDay(
  entries: readonly Entry[],
  timetable: Timetable,
  zone: string,
): Map<string, string[]> {
  const days = new Map<string, string[]>();
  for (const { from, to, offset } of timetable.stretches(zone)) {
    const starts = entries.flatMap((entry) => timetable.startsOf(entry))
      .filter((at) => at >= from && at < to).sort((a, b) => a - b);
    for (let day = Math.floor((from + offset) / 1440) * 1440; day < to + offset; day += 1440) {
      const date = dateOf(day);
      if (!days.has(date)) days.set(date, []);
    }
    for (const at of starts) days.get(dateOf(at + offset))!.push(clock(at + offset));
  }
  const dates = [...days.keys()].sort();
  return new Map(dates.slice(1, -1).map((date) => [date, days.get(date)!]));
}

/** `2026-12-01 to 2027-03-13 at 02:00 and 03:00`, a line for each time that stays for more than a day. */
export function stretchesOfTimes(days: Map<string, string[]>): string[] {
  const lines: { from: string; to: string; times: string; count: number }[] = [];
  for (const [date, times] of days) {
    const text = listed(times);
    const last = lines.at(-1);
    if (last?.times === text) Object.assign(last, { to: date, count: last.count + 1 });
    else lines.push({ from: date, to: date, times: text, count: 1 });
  }
  return lines.filter(({ count, times }) => count > 1 && times !== "")
    .map(({ from, to, times }) => `${from} to ${to} at ${times}`);
}

/** `1 on 2026-03-08 and 3 on 2026-11-01`; days that are many are counted: the lines above show them. */
function oddDays(odd: [date: string, times: string[]][]): string {
  if (odd.length <= 4) return listed(odd.map(([date, times]) => `${times.length} on ${date}`));
  const byCount = Map.groupBy(odd, ([, times]) => times.length);
  return listed([...byCount].map(([count, days]) => `${count} on ${counted(days.length, "day")}`));
}

function mostUsual(counts: number[]): number {
  const tally = new Map<number, number>();
  for (const count of counts) tally.set(count, (tally.get(count) ?? 0) + 1);
  return [...tally].sort(([, a], [, b]) => b - a)[0]![0];
}
