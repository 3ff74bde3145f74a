/** Offsets of zones, their changes, and the letters that people call them by. */

const formats = new Map<string, Intl.DateTimeFormat>();

/** Minutes to add to UTC. Throws a RangeError for a zone that there is not. */
function offsetAt(zone: string, moment: Date): number {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
    formats.set(zone, format);
  }
  const name = format.formatToParts(moment).find(({ type }) => type === "timeZoneName")!.value;
  const [, sign, hours, minutes] = /^GMT(?:([+-])(\d\d):(\d\d))?/.exec(name)!;
  return sign === undefined ? 0 : Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes));
}

export function isZone(zone: string): boolean {
  try {
    offsetAt(zone, new Date(0));
    return true;
  } catch {
    return false;
  }
}

/** A time in which a zone's offset stays: minutes since the epoch, the end exclusive. */
export interface Stretch {
  from: number;
  to: number;
  offset: number;
}

/** The stretches of a zone between two minutes since the epoch. */
export function stretchesOf(zone: string, from: number, to: number): Stretch[] {
  const offset = (minute: number) => offsetAt(zone, new Date(minute * 60_000));
  const found: Stretch[] = [];
  let begin = from;
  for (let at = from; at < to;) {
    const next = Math.min(at + 1440, to);
    if (next < to && offset(next) === offset(at)) {
      at = next;
      continue;
    }
    let low = at;
    let high = next;
    if (offset(next) !== offset(at)) {
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2);
        if (offset(middle) === offset(at)) low = middle;
        else high = middle;
      }
    }
    found.push({ from: begin, to: high, offset: offset(at) });
    begin = high;
    at = high;
  }
  return found;
}

/** Letters for standard and summer time, their offsets, and the zone that has both. */
export interface ZonePair {
  standard: string;
  summer: string;
  offset: number;
  zone: string;
}

export const zonePairs: readonly ZonePair[] = [
  { standard: "est", summer: "edt", offset: -300, zone: "America/New_York" },
  { standard: "cst", summer: "cdt", offset: -360, zone: "America/Chicago" },
  { standard: "mst", summer: "mdt", offset: -420, zone: "America/Denver" },
  { standard: "pst", summer: "pdt", offset: -480, zone: "America/Los_Angeles" },
  { standard: "gmt", summer: "bst", offset: 0, zone: "Europe/London" },
  { standard: "cet", summer: "cest", offset: 60, zone: "Europe/Berlin" },
  { standard: "eet", summer: "eest", offset: 120, zone: "Europe/Athens" },
  { standard: "aest", summer: "aedt", offset: 600, zone: "Australia/Sydney" },
  { standard: "nzst", summer: "nzdt", offset: 720, zone: "Pacific/Auckland" },
];

/** 540 as `09:00`. */
export function clock(minutes: number): string {
  const within = ((minutes % 1440) + 1440) % 1440;
  return `${String(Math.floor(within / 60)).padStart(2, "0")}:${
    String(within % 60).padStart(2, "0")
  }`;
}

/** The date of a minute since the epoch, as `2026-11-01`. */
export function dateOf(minute: number): string {
  return new Date(minute * 60_000).toISOString().slice(0, 10);
}
