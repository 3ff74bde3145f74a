/** Which entries of the same work become one job, and at which times it runs. */
import type { Entry } from "../audit/entry.ts";
import type { Works } from "../audit/facts.ts";
import { type Pair, pairsOf } from "../audit/rules/zone-pair.ts";
import {
  countOf,
  DAYS,
  everyMinute,
  isWithin,
  type Minutes,
  shareAny,
  type Timetable,
} from "../audit/timetable.ts";
import { type Fields, readTiming } from "../audit/timing.ts";
import { listed, namesOf, scheduleOf } from "../audit/words.ts";
import { clock } from "../audit/zones.ts";
import { narrow } from "./narrow.ts";
import { scheduleForDaybook } from "./schedule.ts";

/** A job in the place of entries: its times, and the reasons. */
export interface Merged {
  entries: Entry[];
  /** The entry whose times are kept; undefined: two entries stand for one local time. */
  kept?: Entry;
  schedule: string;
  timeZone: string;
  reasons: string[];
  /** Whether entries also started at other times: what they tried again is left to the job's attempts. */
  isRarer: boolean;
}

export interface MergeOptions {
  works: readonly Works[];
  /** Names of entries whose times are kept: each becomes a job. */
  keep: readonly string[];
}

/**
 * A run has three attempts. So an entry that starts the same work up to three times as often, to be sure that one of them
 * comes through, adds nothing to a job.
 */
const attempts = 3;
const reasonOfAttempts =
  "a job tries a failed run again by itself, up to three attempts, and makes up for what was missed";

/** One entry, or a pair of entries that stand for one local time. */
interface Item {
  entries: Entry[];
  minutes: Minutes;
  /** How often it starts in `DAYS` days. */
  count: number;
  schedule: string;
  timeZone: string;
  kept?: Entry;
  /** Undefined: it is in seconds. */
  fields?: Fields;
  reasons: string[];
}

/** Jobs in the place of active entries that all do exactly the same; each entry is in one of them. */
export function merge(
  entries: readonly Entry[],
  timetable: Timetable,
  options: MergeOptions,
): Merged[] {
  const pairs = pairsOf(entries)
    .filter(({ standard, summer }) =>
      ![standard, summer].some(({ name }) => options.keep.includes(name))
    )
    .flatMap((pair) => itemOfPair(pair, timetable));
  const paired = new Set(pairs.flatMap((item) => item.entries));
  const singles = entries.filter((entry) => !paired.has(entry))
    .map((entry) => itemOf(entry, timetable));
  const merged: Merged[] = [];
  let left = [...pairs, ...singles].sort((a, b) => b.count - a.count);
  while (left.length > 0) {
    const group = together(left, options);
    merged.push(
      ...split(group, options).map((items) => mergeGroup(items, entries, timetable, options)),
    );
    left = left.filter((item) => !group.includes(item));
  }
  return merged;
}

/** The first item, which starts most often, with those that it covers and those that meet one whose times are kept. */
function together(items: Item[], options: MergeOptions): Item[] {
  const [widest] = items as [Item];
  const kept = items.filter((item) => isKept(item, options) && meet(item, widest));
  return items.filter((item) =>
    item === widest || isWithin(item.minutes, widest.minutes) ||
    kept.some((one) => meet(item, one))
  );
}

/** A group for each entry whose times are kept. The other items go with the first of these that they meet. */
function split(items: Item[], options: MergeOptions): Item[][] {
  const kept = items.filter((item) => isKept(item, options));
  if (kept.length < 2) return [items];
  const others = items.filter((item) => !kept.includes(item));
  const hostOf = (item: Item) => kept.find((one) => meet(item, one)) ?? kept[0];
  return kept.map((one) => [one, ...others.filter((item) => hostOf(item) === one)]);
}

const meet = (one: Item, other: Item) => shareAny(one.minutes, other.minutes);

const isKept = ({ kept }: Item, { keep }: MergeOptions) =>
  kept !== undefined && keep.includes(kept.name);

/** @param order All entries, in the order in which they are named. */
function mergeGroup(
  items: Item[],
  order: readonly Entry[],
  timetable: Timetable,
  options: MergeOptions,
): Merged {
  const [widest] = items as [Item];
  const told = items.find((item) => isKept(item, options));
  const chosen = told ?? rarestOf(items, widest);
  const all = items.flatMap((item) => item.entries);
  const entries = order.filter((entry) => all.includes(entry));
  const reasons = [...chosen.reasons];
  // An entry in seconds starts within the minutes of another, and more often than it.
  const others = items.filter((item) =>
    item !== chosen && (item.count > chosen.count || !isWithin(item.minutes, chosen.minutes))
  );
  if (others.length > 0) {
    const named = `${namesOfItems(others)} (${schedulesOf(others)})`;
    reasons.push(
      told === undefined
        ? `${named} ${verb(others, "starts", "start")} it at other times, too; ${reasonOfAttempts}`
        : `--keep says ${told.kept!.name}, and not ${named}`,
    );
  }
  const narrowed = narrow(chosen, entries, timetable, options.works);
  return {
    entries,
    ...(chosen.kept === undefined ? {} : { kept: chosen.kept }),
    schedule: narrowed.schedule ?? chosen.schedule,
    timeZone: narrowed.timeZone ?? chosen.timeZone,
    reasons: [...reasons, ...narrowed.reasons],
    isRarer: others.length > 0,
  };
}

const namesOfItems = (items: Item[]) => namesOf(items.flatMap(({ entries }) => entries));
const schedulesOf = (items: Item[]) =>
  listed([...new Set(items.flatMap(({ entries }) => entries.map(({ schedule }) => schedule)))]);
const verb = (items: Item[], one: string, many: string) =>
  items.flatMap(({ entries }) => entries).length === 1 ? one : many;

/** Of those that run all day: the one that starts least often, and at least a third as often as the widest. */
function rarestOf(items: Item[], widest: Item): Item {
  if (!runsAllDay(widest)) return widest;
  return items.filter((item) =>
    runsAllDay(item) && isWithin(item.minutes, widest.minutes) && item.kept !== undefined &&
    daysOf(item) === daysOf(widest) && item.count * attempts >= widest.count
  ).reduce((rarest, item) => item.count < rarest.count ? item : rarest, widest);
}

const runsAllDay = ({ fields }: Item) => fields === undefined || fields.hours.length === 24;

/** The fields of days. A schedule in seconds has none, and runs on every day. */
const daysOf = ({ schedule }: Item) => schedule.split(" ").slice(2, 5).join(" ") || "* * *";

function itemOf(entry: Entry, timetable: Timetable): Item {
  const timing = readTiming(entry.schedule, entry.engine);
  const common = {
    entries: [entry],
    kept: entry,
    schedule: scheduleForDaybook(entry.schedule),
    timeZone: entry.zone,
    reasons: [],
  };
  if (timing.kind === "period") {
    return { ...common, minutes: everyMinute, count: DAYS * 86_400 / timing.seconds };
  }
  const minutes = timetable.minutesOf(entry)!;
  return {
    ...common,
    minutes,
    count: countOf(minutes),
    ...(timing.kind === "fields" ? { fields: timing } : {}),
  };
}

/** The local time that a pair stands for; none where its day is another than UTC's and the pair does not run daily. */
function itemOfPair({ standard, summer, zone }: Pair, timetable: Timetable): Item[] {
  // The times say which entry is for summer: names may be mixed up.
  const [early, late] = [standard, summer].map((entry) => ({
    entry,
    fields: readTiming(entry.schedule, entry.engine) as Fields,
  })).sort((a, b) => hourBefore(a.fields, b.fields) ? -1 : 1) as [Timed, Timed];
  const days = scheduleForDaybook(early.entry.schedule).split(" ").slice(2).join(" ");
  const otherDays = scheduleForDaybook(late.entry.schedule).split(" ").slice(2).join(" ");
  if (early.entry.zone !== "UTC" || days !== otherDays || zone.offset % 60 !== 0) return [];
  const summerOffset = zone.offset / 60 + 1;
  const moved = early.fields.hours.map((hour) => hour + summerOffset);
  if (days !== "* * *" && moved.some((hour) => hour < 0 || hour > 23)) return [];
  const hours = moved.map((hour) => (hour + 24) % 24).sort((a, b) => a - b);
  const [one, other] = [early, late].map(({ entry }) => timetable.minutesOf(entry)!);
  const minutes = one!.map((word, index) => word | other![index]!);
  const times = listed(
    hours.flatMap((hour) => early.fields.minutes.map((minute) => clock(hour * 60 + minute))),
  );
  return [{
    entries: [early.entry, late.entry],
    minutes,
    count: countOf(minutes),
    schedule: `${early.fields.minutes.join(",")} ${hours.join(",")} ${days}`,
    timeZone: zone.zone,
    fields: early.fields,
    reasons: [
      `${scheduleOf(early.entry)} in summer and ${
        scheduleOf(late.entry)
      } in winter are ${times} in ${zone.zone}; a job has a zone of its own`,
    ],
  }];
}

interface Timed {
  entry: Entry;
  fields: Fields;
}

function hourBefore(one: Fields, other: Fields): boolean {
  const later = one.hours.map((hour) => (hour + 1) % 24).sort((a, b) => a - b);
  return later.join() === [...other.hours].sort((a, b) => a - b).join();
}
