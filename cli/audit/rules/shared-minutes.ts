import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { Finding } from "../finding.ts";
import {
  areSame,
  countBoth,
  countOf,
  dayOf,
  DAYS,
  isWithin,
  listOf,
  type Minutes,
  perYear,
  shareAny,
} from "../timetable.ts";
import { namesOf, scheduleOf } from "../words.ts";
import { counted } from "../../../shared/text.ts";
import { clock } from "../zones.ts";

interface Timed {
  entry: Entry;
  minutes: Minutes;
  day: Minutes;
}

/** So many at once are worth a warning. */
const crowd = 5;

/** Entries of different work that start in the same minute, unless one of them says why it `shares`. */
export function sharedMinutes({ entries, timetable }: Audited): Finding[] {
  const sections = Map.groupBy(
    entries.flatMap((entry): Timed[] => {
      const minutes = timetable.minutesOf(entry);
      return minutes === undefined || countOf(minutes) === 0
        ? []
        : [{ entry, minutes, day: dayOf(minutes) }];
    }),
    ({ entry }) => entry.section ?? "",
  );
  return [...sections.values()].flatMap(findingOf);
}

function findingOf(all: Timed[]): Finding[] {
  const meets = new Map<Timed, Timed[]>(all.map((one) => [one, []]));
  let pairs = 0;
  for (const [index, one] of all.entries()) {
    for (const other of all.slice(index + 1)) {
      if (one.entry.work.key === other.entry.work.key) continue;
      if (one.entry.shares !== undefined || other.entry.shares !== undefined) continue;
      if (!shareAny(one.day, other.day) || !shareAny(one.minutes, other.minutes)) continue;
      meets.get(one)!.push(other);
      meets.get(other)!.push(one);
      pairs++;
    }
  }
  const involved = all.filter((one) => meets.get(one)!.length > 0);
  if (pairs === 0) return [];
  const counts = startsTogether(involved.map(({ minutes }) => minutes));
  return [{
    rule: "shared-minutes",
    severity: Math.max(...counts) >= crowd ? "warning" : "note",
    certainty: "proven",
    title: `${involved.length} of ${
      counted(all.length, "entry", "entries")
    } start in the same minute as other work`,
    entries: involved.map(({ entry }) => entry),
    evidence: [
      ...sameTimes(all, meets),
      ...hubs(all, meets),
      ...pairLines(involved, meets, pairs),
      ...crowds(counts),
    ],
    cost: "What starts together competes for connections, for pg_net's one queue and for workers",
    mend: "Move entries to minutes of their own; a minute or two is enough",
  }];
}

/** Entries of different work that have all their times in common. */
function sameTimes(all: Timed[], meets: Map<Timed, Timed[]>): string[] {
  const told = new Set<Timed>();
  return all.flatMap((one) => {
    if (told.has(one)) return [];
    const same = meets.get(one)!.filter(({ minutes }) => areSame(minutes, one.minutes));
    for (const other of same) told.add(other);
    return same.length === 0 ? [] : [
      `${namesOf([one, ...same].map(({ entry }) => entry))} have the same times: ${
        scheduleOf(one.entry)
      }`,
    ];
  });
}

/** Entries that half of the others never start without. */
function hubs(all: Timed[], meets: Map<Timed, Timed[]>): string[] {
  return all.flatMap((hub) => {
    const within = meets.get(hub)!.filter(({ minutes }) => isWithin(minutes, hub.minutes));
    if (within.length < 3 || within.length * 2 < all.length - 1) return [];
    const how = within.length === all.length - 1
      ? "every other entry"
      : `${within.length} of the ${all.length - 1} others`;
    return [`${hub.entry.name} (${scheduleOf(hub.entry)}) shares every minute of ${how}`];
  });
}

function pairLines(involved: Timed[], meets: Map<Timed, Timed[]>, pairs: number): string[] {
  if (pairs > 6) return [];
  return involved.flatMap((one, index) =>
    meets.get(one)!.filter((other) => involved.indexOf(other) > index).map((other) =>
      `${one.entry.name} and ${other.entry.name}: ${
        counted(perYear(countBoth(one.minutes, other.minutes)), "time")
      } a year`
    )
  );
}

/** The minutes of the hour, and the time of day, at which most start together. */
function crowds(counts: number[]): string[] {
  const most = Math.max(...counts);
  if (most < 3) return [];
  const ofHour = Array.from({ length: 60 }, (_, minute) => ({
    minute,
    most: Math.max(...Array.from({ length: 24 }, (_, hour) => counts[hour * 60 + minute]!)),
  })).filter(({ most }) => most >= 3).sort((a, b) => b.most - a.most || a.minute - b.minute);
  return [
    `most at once: ${most}, at ${clock(counts.indexOf(most))} UTC`,
    `3 or more at ${
      ofHour.slice(0, 8).map(({ minute, most }) =>
        `:${String(minute).padStart(2, "0")} (up to ${most})`
      ).join(", ")
    }`,
  ];
}

/** For each minute of a day of UTC the most entries that start together in it, on any day of the year. */
export function startsTogether(list: readonly Minutes[]): number[] {
  const year = new Uint16Array(DAYS * 1440);
  for (const minutes of list) for (const at of listOf(minutes)) year[at]!++;
  const day = new Array<number>(1440).fill(0);
  for (const [at, count] of year.entries()) {
    day[at % 1440] = Math.max(day[at % 1440]!, count);
  }
  return day;
}
