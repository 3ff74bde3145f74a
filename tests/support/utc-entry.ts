/**
 * A reader of pg_cron's entries, written from its rules (src/entry.c) and independent of the SQL under test: numbers
 * only, and the two day fields must both match where one of them begins with a star, else either.
 */
export interface UtcEntry {
  minutes: Set<number>;
  hours: Set<number>;
  daysOfMonth: Set<number>;
  months: Set<number>;
  daysOfWeek: Set<number>;
  daysMustBothMatch: boolean;
}

export const ENTRY_FIELDS = ["minutes", "hours", "daysOfMonth", "months", "daysOfWeek"] as const;

/** Throws on anything that pg_cron 1.4 does not read, and on what it reads by accident. */
export function readUtcEntry(text: string): UtcEntry {
  const fields = text.split(" ");
  if (fields.length !== 5) throw new Error(`Cannot read "${text}": it must have five fields`);
  const [minute, hour, dayOfMonth, month, dayOfWeek] = fields as [
    string,
    string,
    string,
    string,
    string,
  ];
  return {
    minutes: values(minute, 0, 59),
    hours: values(hour, 0, 23),
    daysOfMonth: values(dayOfMonth, 1, 31),
    months: values(month, 1, 12),
    daysOfWeek: new Set([...values(dayOfWeek, 0, 7)].map((day) => day % 7)),
    daysMustBothMatch: dayOfMonth.startsWith("*") || dayOfWeek.startsWith("*"),
  };
}

function values(field: string, first: number, last: number): Set<number> {
  const found = new Set<number>();
  for (const part of field.split(",")) {
    const match = /^(?:(\*)|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (!match) throw new Error(`Cannot read "${part}" of the field "${field}"`);
    const from = match[1] ? first : Number(match[2]);
    const to = match[1] ? last : Number(match[3] ?? match[2]);
    const step = Number(match[4] ?? 1);
    const stepAlone = match[4] !== undefined && !match[1] && match[3] === undefined;
    if (from < first || to > last || from > to || step < 1 || stepAlone) {
      throw new Error(`Cannot read "${part}" of the field "${field}": it must be sane`);
    }
    for (let value = from; value <= to; value += step) found.add(value);
  }
  return found;
}

export function matchesDate(entry: UtcEntry, date: Date): boolean {
  if (!entry.months.has(date.getUTCMonth() + 1)) return false;
  const month = entry.daysOfMonth.has(date.getUTCDate());
  const week = entry.daysOfWeek.has(date.getUTCDay());
  return entry.daysMustBothMatch ? month && week : month || week;
}

export function matchesMoment(entry: UtcEntry, moment: Date): boolean {
  return entry.minutes.has(moment.getUTCMinutes()) && entry.hours.has(moment.getUTCHours()) &&
    matchesDate(entry, moment);
}
