/** An organization's calendar, computed from `Intl` and nothing of the database: the oracle of the daily batch. */

const DAY_MS = 86_400_000;

export interface Period {
  /** From when, in ms since the epoch, until the next period. */
  from: number;
  /** How far local time is ahead of UTC, in ms. */
  offset: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** How far local time is ahead of UTC at that moment, in ms. Throws where `Intl` knows no such zone. */
export function zoneOffset(zone: string, at: number): number {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(zone, format);
  }
  const parts: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(at)) parts[type] = Number(value);
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - at;
}

/** The stretches of time in which a zone keeps one offset. */
export function periods(zone: string, from: number, to: number): Period[] {
  const found: Period[] = [{ from: -Infinity, offset: zoneOffset(zone, from) }];
  for (let at = from; at < to; at += DAY_MS) {
    const before = found.at(-1)!.offset;
    const after = zoneOffset(zone, at + DAY_MS);
    if (after === before) continue;
    let low = at, high = at + DAY_MS;
    while (high - low > 60_000) {
      const middle = low + Math.floor((high - low) / 120_000) * 60_000;
      if (zoneOffset(zone, middle) === before) low = middle;
      else high = middle;
    }
    found.push({ from: high, offset: after });
  }
  return found;
}

/** When a clock first shows that local time (ms, as if it were UTC); when it skips it, the end of the gap. */
export function firstShowing(zone: Period[], local: number): number {
  for (const [index, { from, offset }] of zone.entries()) {
    const at = local - offset;
    if (at < from) return from;
    if (at < (zone[index + 1]?.from ?? Infinity)) return at;
  }
  throw new Error("unreachable");
}

export interface Setting {
  /** From when it holds, in ms since the epoch. */
  from: number;
  zone: Period[];
  /** The hour of the daily batch, in ms since midnight. */
  runAt: number;
}

export interface ExpectedDate {
  /** In days since the epoch. */
  date: number;
  /** From when it is due, in ms since the epoch. */
  dueAt: number;
}

/**
 * The dates that an organization must have: at any moment its date is the latest whose time has come where it is then;
 * each that is later than all before it counts once. The date it had at its creation (the first setting's beginning)
 * does not.
 */
export function expectedDates(settings: Setting[], until: number): ExpectedDate[] {
  const expected: ExpectedDate[] = [];
  let last = -Infinity;
  for (const [index, { from, zone, runAt }] of settings.entries()) {
    const end = Math.min(settings[index + 1]?.from ?? Infinity, until);
    const dueAt = (date: number) => firstShowing(zone, date * DAY_MS + runAt);
    let date = Math.floor(from / DAY_MS) + 2;
    while (dueAt(date) > from) date--;
    // At once; a tick at that very moment comes before the move.
    if (index > 0 && date > last) expected.push({ date, dueAt: from + 1 });
    last = Math.max(last, date);
    for (date = last + 1; dueAt(date) <= end; date++) {
      expected.push({ date, dueAt: dueAt(date) });
      last = date;
    }
  }
  return expected;
}
