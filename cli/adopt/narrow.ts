/** Times narrowed to the hours in which there is work, as `--works` says them. */
import type { Entry } from "../audit/entry.ts";
import type { Works } from "../audit/facts.ts";
import { fits, idleHours } from "../audit/rules/idle-hours.ts";
import { places } from "../audit/rules/utc-called-local.ts";
import { says } from "../audit/rules/zone-pair.ts";
import type { Timetable } from "../audit/timetable.ts";
import type { Fields } from "../audit/timing.ts";
import { zonePairs } from "../audit/zones.ts";
import { cronNicknames } from "../cron-nicknames.ts";

/** The times that entries of one job have without `--works`. */
interface Times {
  kept?: Entry;
  schedule: string;
  timeZone: string;
  /** Undefined: it is in seconds. */
  fields?: Fields;
}

/**
 * The schedule for the hours in which there is work, of an entry that runs all day.
 *
 * @param entries All that the job takes the place of: one that speaks of the zone gets its hours.
 */
export function narrow(
  { kept, schedule, fields, timeZone }: Times,
  entries: readonly Entry[],
  timetable: Timetable,
  works: readonly Works[],
): { schedule?: string; timeZone?: string; reasons: string[] } {
  if (kept === undefined) return { reasons: [] };
  const [told] = works.filter(({ entries }) => fits(kept.name, entries))
    .sort((a, b) => Number(b.entries !== undefined) - Number(a.entries !== undefined));
  if (told === undefined) return { reasons: [] };
  const facts = { now: new Date(0), unknown: [], works: [told] };
  const isIdle = idleHours({ entries: [kept], timetable, facts }).length > 0;
  if (!isIdle && fields !== undefined) return { reasons: [] };
  const { fromHour, toHour, zone } = told;
  const window = `${fromHour}:00 to ${toHour}:00 in ${zone}`;
  const [minute, , ...days] = (cronNicknames[schedule] ?? schedule).split(" ");
  const why = fields === undefined
    ? "it is in seconds"
    : fields.hours.length < 24
    ? "it has hours of its own"
    : days.join(" ") !== "* * *"
    ? "it has days of its own"
    : undefined;
  if (why !== undefined) {
    return { reasons: [`Its times stay, although there is work only from ${window}: ${why}`] };
  }
  if (told.entries === undefined && !entries.some((entry) => speaksOf(entry, zone))) {
    return {
      reasons: [
        `It runs all day, because none of its entries speaks of ${zone}. If there is work only from ${window}, give --works '${kept.name}=${fromHour}-${toHour}@${zone}'`,
      ],
    };
  }
  return {
    schedule: `${minute} ${hoursFrom(fromHour, toHour)} * * *`,
    timeZone: zone,
    reasons: [
      `There is work from ${window}, as --works says: it runs only in these hours${
        timeZone === zone ? "" : " of that zone"
      }`,
    ],
  };
}

function speaksOf(entry: Entry, zone: string): boolean {
  const named = { ...entry, command: "" };
  return `${entry.name} ${entry.comment ?? ""}`.includes(zone) ||
    zonePairs.some((pair) =>
      pair.zone === zone && [pair.standard, pair.summer].some((letters) => says(named, letters))
    ) || places.some(([pattern, place]) => place === zone && pattern.test(entry.name));
}

/** 3 to 6 as `3-5`, 22 to 2 as `22-23,0-1`. */
function hoursFrom(from: number, to: number): string {
  const range = (first: number, last: number) => first === last ? `${first}` : `${first}-${last}`;
  if (from < to) return to - from === 24 ? "*" : range(from, to - 1);
  return [range(from, 23), ...(to === 0 ? [] : [range(0, to - 1)])].join(",");
}
