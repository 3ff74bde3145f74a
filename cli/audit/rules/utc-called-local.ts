import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { Finding } from "../finding.ts";
import { readTiming } from "../timing.ts";
import { counted } from "../../../shared/text.ts";
import { clock, isZone, zonePairs } from "../zones.ts";
import { pairsOf, runsByLocalDay, says, stretchesOfTimes } from "./zone-pair.ts";

export const places: [RegExp, string][] = [
  [/(?<![a-z])(?:eastern|new[ _-]?york)(?![a-z])/i, "America/New_York"],
  [/(?<![a-z])(?:central time|chicago)(?![a-z])/i, "America/Chicago"],
  [/(?<![a-z])(?:mountain time|denver)(?![a-z])/i, "America/Denver"],
  [/(?<![a-z])(?:pacific|los[ _-]?angeles)(?![a-z])/i, "America/Los_Angeles"],
  [/(?<![a-z])(?:london|uk time)(?![a-z])/i, "Europe/London"],
  [/(?<![a-z])(?:berlin|paris|madrid|rome|german time)(?![a-z])/i, "Europe/Berlin"],
];

/** Entries that run in UTC while their name or comment speaks of a local time. */
export function utcCalledLocal(audited: Audited): Finding[] {
  const { entries } = audited;
  const inPair = new Set(pairsOf(entries).flatMap(({ standard, summer }) => [standard, summer]));
  return entries.flatMap((entry) => {
    if (!entry.active || entry.zone !== "UTC") return [];
    const timing = readTiming(entry.schedule, entry.engine);
    if (timing.kind !== "fields" || timing.hours.length * timing.minutes.length !== 1) return [];
    const at = timing.hours[0]! * 60 + timing.minutes[0]!;
    const text = `${entry.name} ${entry.comment ?? ""}`;
    const said = timeIn(text);
    const letters = zonePairs.flatMap((zone) => [
      { letters: zone.standard, offset: zone.offset, zone: zone.zone },
      { letters: zone.summer, offset: zone.offset + 60, zone: zone.zone },
    ]).find(({ letters }) => says({ ...entry, command: "" }, letters) && letters !== "gmt");
    if (letters !== undefined) {
      if (said !== undefined && (said - letters.offset + 1440) % 1440 !== at) {
        return [otherTime(entry, said, letters.letters.toUpperCase(), letters.offset, at)];
      }
      return inPair.has(entry) ? [] : moves(entry, letters.zone, said, audited);
    }
    const zone = /\b[A-Z][a-z]+\/[A-Z][A-Za-z_]+\b/.exec(text)?.[0] ??
      // A place alone may be whom it is about; with a time it is whose time that is.
      (said === undefined ? undefined : places.find(([pattern]) => pattern.test(text))?.[1]);
    if (zone !== undefined && isZone(zone)) return moves(entry, zone, said, audited);
    return said !== undefined && said !== at && !/(?<![a-z])(?:utc|gmt)(?![a-z])/i.test(text)
      ? [noZone(entry, said, at)]
      : [];
  });
}

/** The time of day that a text says, in minutes: `3am`, `12:30 pm`, `midnight`, `noon`. */
function timeIn(text: string): number | undefined {
  if (/(?<![a-z])midnight(?![a-z])/i.test(text)) return 0;
  if (/(?<![a-z])noon(?![a-z])/i.test(text)) return 720;
  const match = /(?<![\w:.])(1[0-2]|0?[1-9])(?::([0-5]\d))?[ _-]?([ap])\.?m(?![a-z])/i.exec(
    text.replaceAll(/[_-]/g, " "),
  );
  if (match === null) return undefined;
  const [, hour, minute = "0", half] = match;
  return (Number(hour) % 12 + (half!.toLowerCase() === "p" ? 12 : 0)) * 60 + Number(minute);
}

function otherTime(
  entry: Entry,
  said: number,
  letters: string,
  offset: number,
  at: number,
): Finding {
  return {
    rule: "name-says-other-time",
    severity: "warning",
    certainty: "proven",
    title: `${entry.name} does not run at the time that it says`,
    entries: [entry],
    evidence: [
      `${clock(said)} ${letters} is ${clock(said - offset)} UTC; ${entry.schedule} is ${
        clock(at + offset)
      } ${letters}`,
    ],
    cost: "The work is done an hour or more from where people look for it",
    mend: "Mend the schedule or the name, whichever is wrong",
  };
}

/** A time of UTC is another local time in summer than in winter. */
function moves(
  entry: Entry,
  zone: string,
  said: number | undefined,
  { timetable }: Audited,
): Finding[] {
  const days = runsByLocalDay([entry], timetable, zone);
  const times = new Set([...days.values()].flat());
  const wrong = said === undefined
    ? undefined
    : [...days.values()].flat().filter((time) => time !== clock(said)).length;
  if (times.size < 2 && !wrong) return [];
  return [{
    rule: "utc-called-local",
    severity: "warning",
    certainty: "likely",
    title: `${entry.name} speaks of local time and runs in UTC`,
    entries: [entry],
    evidence: [
      ...stretchesOfTimes(days).slice(0, 4).map((line) => `${line}, ${zone}`),
      ...(wrong ? [`${counted(wrong, "run")} a year not at ${clock(said!)}`] : []),
    ],
    cost: "For part of the year it runs at another hour than people think",
    mend:
      `Give it the zone ${zone}; pg_cron alone has none: run it each hour, and let the command look at the local time`,
  }];
}

function noZone(entry: Entry, said: number, at: number): Finding {
  return {
    rule: "utc-called-local",
    severity: "note",
    certainty: "likely",
    title: `${entry.name} says ${clock(said)} and runs at ${clock(at)} UTC`,
    entries: [entry],
    evidence: [`${entry.schedule} is ${clock(at)} UTC; whose ${clock(said)} that is, is not said`],
    cost: "If it is a local time, it is another one in summer than in winter",
    mend: "Say the zone, and give it to the entry",
  };
}
