import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { FunctionRun, Works } from "../facts.ts";
import type { Certainty, Finding } from "../finding.ts";
import { perYear } from "../timetable.ts";
import { namesOf, scheduleOf } from "../words.ts";
import { counted } from "../../../shared/text.ts";

/** Entries that run when there is nothing to do: as it was told, or as the function's log shows. */
export function idleHours(audited: Audited): Finding[] {
  const told = audited.facts.works.flatMap((works) =>
    outside(
      audited,
      audited.entries.filter(({ name }) => fits(name, works.entries)),
      works,
      "proven",
      "as --works says",
    )
  );
  const names = new Set(audited.entries.flatMap(({ work }) => work.functionName ?? []));
  const seen = [...names].flatMap((name) => {
    const works = busyHours(
      (audited.facts.functionRuns ?? []).filter(({ functionName }) => functionName === name),
    );
    const entries = audited.entries.filter(({ work }) => work.functionName === name);
    return works === undefined ? [] : outside(
      audited,
      entries,
      works,
      "likely",
      "as the durations in the function's log show",
    );
  });
  return [...told, ...seen];
}

/** Whether `--works` is about an entry of this name. */
export function fits(name: string, pattern = "*"): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(name);
}

function outside(
  { timetable }: Audited,
  entries: Entry[],
  works: Works,
  certainty: Certainty,
  how: string,
): Finding[] {
  const { fromHour, toHour, zone } = works;
  const isInside = (hour: number) =>
    fromHour < toHour ? hour >= fromHour && hour < toHour : hour >= fromHour || hour < toHour;
  const timed = entries.flatMap((entry) => {
    const hours = timetable.stretches(zone).flatMap(({ from, to, offset }) =>
      timetable.startsOf(entry).filter((at) => at >= from && at < to)
        .map((at) => Math.floor((at + offset) / 60) % 24)
    );
    const idle = hours.filter((hour) => !isInside(hour)).length;
    const kind = new Set(hours).size >= 20 ? "all day" : idle === hours.length ? "never" : "part";
    return idle === 0 ? [] : [{ entry, kind, idle, all: hours.length }];
  });
  const window = `${fromHour}:00 to ${toHour}:00 in ${zone}`;
  const groups = [
    ["all day", "all day", "warning"],
    ["never", "only when there is no work", "warning"],
    ["part", "for part of the year when there is no work", "warning"],
  ] as const;
  return groups.flatMap(([kind, words, severity]): Finding[] => {
    const list = timed.filter((one) => one.kind === kind);
    if (list.length === 0) return [];
    const idle = list.reduce((sum, one) => sum + one.idle, 0);
    return [{
      rule: "idle-hours",
      severity,
      certainty,
      title: `${namesOf(list.map(({ entry }) => entry))} ${
        list.length === 1 ? "runs" : "run"
      } ${words}; there is work from ${window}`,
      entries: list.map(({ entry }) => entry),
      evidence: list.map(({ entry, idle, all }) =>
        `${scheduleOf(entry)}: ${percent(idle, all)} of the runs are outside, ${how}`
      ),
      cost: `${counted(perYear(idle), "run")} a year that find nothing to do`,
      mend: kind === "never"
        ? "Move it into these hours, or take it out"
        : `Run it in these hours of ${zone} alone`,
    }];
  });
}

function percent(part: number, all: number): string {
  return part === all ? "all" : `${Math.min(99, Math.round(part / all * 100))} %`;
}

/**
 * The hours of UTC in which a function has something to do: where its calls take over a second and ten times as long as
 * the quick quarter of them, on three days at least, within eight hours of the day, and it is called in other hours too.
 */
function busyHours(runs: FunctionRun[]): Works | undefined {
  const timed = runs.filter(({ durationMs }) => durationMs !== undefined);
  const quick = timed.map(({ durationMs }) => durationMs!)
    .sort((a, b) => a - b)[Math.floor(timed.length / 4)];
  if (quick === undefined) return undefined;
  const busy = timed.filter(({ durationMs }) => durationMs! > 1_000 && durationMs! >= quick * 10);
  const days = new Set(busy.map(({ startedAt }) => startedAt.toISOString().slice(0, 10)));
  const hours = [...new Set(busy.map(({ startedAt }) => startedAt.getUTCHours()))]
    .sort((a, b) => a - b);
  const called = new Set(timed.map(({ startedAt }) => startedAt.getUTCHours()));
  if (days.size < 3 || called.size < 12) return undefined;
  // The longest time without work is the rest of the day, also over midnight.
  const gaps = hours.map((hour, index) => ({
    length: ((hours[(index + 1) % hours.length]! - hour + 23) % 24) + 1,
    after: hour,
  }));
  const rest = gaps.reduce((a, b) => b.length > a.length ? b : a);
  const works = { fromHour: (rest.after + rest.length) % 24, toHour: (rest.after + 1) % 24 };
  return 24 - rest.length + 1 > 8 ? undefined : { ...works, zone: "UTC" };
}

/**
 * `3-6@America/New_York`, or `daily-*=3-6@America/New_York` for some entries alone.
 *
 * @throws RangeError where it is none.
 */
export function readWorks(text: string, isZone: (zone: string) => boolean): Works {
  const match = /^(?:(.+)=)?(\d{1,2})-(\d{1,2})@(.+)$/.exec(text);
  const [, entries, from, to, zone] = match ?? [];
  if (zone === undefined || !isZone(zone) || Number(from) > 23 || Number(to) > 24 || from === to) {
    throw new RangeError("it must be hours and a zone, like 3-6@America/New_York");
  }
  return {
    fromHour: Number(from),
    toHour: Number(to),
    zone,
    ...(entries === undefined ? {} : { entries }),
  };
}
