/**
 * Which dates a schedule's day and month fields match, found by walking the calendar: written from what the fields
 * mean, independent of the SQL under test.
 */

const DAY_MS = 86_400_000;
const WEEKDAYS = "sun mon tue wed thu fri sat".split(" ");
const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");

export class Calendar {
  readonly days: Date[] = [];
  readonly #months: Date[][] = [];
  readonly #dayOfMonth: Uint8Array;
  readonly #month: Uint8Array;
  readonly #dayOfWeek: Uint8Array;
  readonly #known = new Map<string, Uint8Array>();

  /** Whole months, from that of `firstYear`'s January to `lastYear`'s December. */
  constructor(readonly firstYear: number, readonly lastYear: number) {
    for (let at = Date.UTC(firstYear, 0, 1); at < Date.UTC(lastYear + 1, 0, 1); at += DAY_MS) {
      const day = new Date(at);
      this.days.push(day);
      if (day.getUTCDate() === 1) this.#months.push([]);
      this.#months.at(-1)!.push(day);
    }
    this.#dayOfMonth = Uint8Array.from(this.days, (day) => day.getUTCDate());
    this.#month = Uint8Array.from(this.days, (day) => day.getUTCMonth() + 1);
    this.#dayOfWeek = Uint8Array.from(this.days, (day) => day.getUTCDay());
  }

  /** 1 for each of `days` that the fields match. */
  matches(dayOfMonth: string, month: string, dayOfWeek: string): Uint8Array {
    const byMonth = this.#field(dayOfMonth, "month");
    const byWeek = this.#field(dayOfWeek, "week");
    const inMonth = this.#known.get(`of ${month}`) ?? this.#monthField(month);
    this.#known.set(`of ${month}`, inMonth);
    const both = dayOfMonth.startsWith("*") || dayOfWeek.startsWith("*");
    const matches = new Uint8Array(this.days.length);
    for (let i = 0; i < matches.length; i++) {
      matches[i] = inMonth[i]! & (both ? byMonth[i]! & byWeek[i]! : byMonth[i]! | byWeek[i]!);
    }
    return matches;
  }

  /** The dates of `matches`, as their midnights in UTC. */
  dates(dayOfMonth: string, month: string, dayOfWeek: string): Date[] {
    const matches = this.matches(dayOfMonth, month, dayOfWeek);
    return this.days.filter((_, i) => matches[i] === 1);
  }

  #field(text: string, kind: "month" | "week"): Uint8Array {
    const marks = new Uint8Array(this.days.length);
    for (const element of text.toLowerCase().split(",")) {
      const key = `${kind} ${element}`;
      const known = this.#known.get(key) ??
        (kind === "month" ? this.#daysOfMonth(element) : this.#daysOfWeek(element));
      this.#known.set(key, known);
      for (let i = 0; i < marks.length; i++) marks[i]! |= known[i]!;
    }
    return marks;
  }

  #monthField(text: string): Uint8Array {
    const numbers = text.toLowerCase().split(",").flatMap((element) =>
      range(element, 1, 12, MONTHS)
    );
    return mark(this.#month, numbers);
  }

  #daysOfMonth(element: string): Uint8Array {
    if (element === "l") return this.#markInMonths((month) => month.at(-1));
    if (element === "lw") return this.#markInMonths((month) => month.filter(isWeekday).at(-1));
    const before = /^l-(\d+)$/.exec(element);
    if (before) return this.#markInMonths((month) => month[month.length - 1 - Number(before[1])]);
    const nearest = /^(\d+)w$/.exec(element);
    if (nearest) {
      return this.#markInMonths((month) => {
        const wanted = month.find((day) => day.getUTCDate() === Number(nearest[1]));
        const distance = (day: Date) => Math.abs(day.getTime() - wanted!.getTime());
        return wanted &&
          month.filter(isWeekday).reduce((a, b) => distance(b) < distance(a) ? b : a);
      });
    }
    return mark(this.#dayOfMonth, range(element, 1, 31));
  }

  #daysOfWeek(element: string): Uint8Array {
    const sign = /^([a-z]{3}|\d)(?:(l)|#(\d))$/.exec(element);
    if (sign) {
      const weekday = numberOf(sign[1]!, 0, WEEKDAYS) % 7;
      return this.#markInMonths((month) => {
        const all = month.filter((day) => day.getUTCDay() === weekday);
        return sign[2] ? all.at(-1) : all[Number(sign[3]) - 1];
      });
    }
    const numbers = range(element, 0, 7, WEEKDAYS).map((number) => number % 7);
    return mark(this.#dayOfWeek, numbers);
  }

  #markInMonths(choose: (month: Date[]) => Date | undefined): Uint8Array {
    const chosen = new Set(this.#months.map(choose));
    return Uint8Array.from(this.days, (day) => Number(chosen.has(day)));
  }
}

/** 1 for each day whose value is one of those. */
function mark(values: Uint8Array, wanted: number[]): Uint8Array {
  const isWanted = new Uint8Array(100);
  for (const value of wanted) isWanted[value] = 1;
  return values.map((value) => isWanted[value]!);
}

function isWeekday(day: Date): boolean {
  return day.getUTCDay() >= 1 && day.getUTCDay() <= 5;
}

/** The values of a plain element: `*`, `5`, `mon-fri`, `1-9/2`, `*\/3`. */
function range(element: string, first: number, last: number, names: string[] = []): number[] {
  const [ends, step = "1"] = element.split("/");
  const [from, to] = ends === "*"
    ? [first, last]
    : ends!.split("-").map((end) => numberOf(end, first, names));
  const values: number[] = [];
  for (let value = from!; value <= (to ?? from!); value += Number(step)) values.push(value);
  return values;
}

function numberOf(text: string, first: number, names: string[]): number {
  return names.includes(text) ? names.indexOf(text) + first : Number(text);
}
