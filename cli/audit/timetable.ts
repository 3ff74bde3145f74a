/** When entries start: a bit for each minute of the 366 days from the audit's day on. */
import type { Entry } from "./entry.ts";
import { readTiming } from "./timing.ts";
import { type Stretch, stretchesOf } from "./zones.ts";

export const DAYS = 366;
const MINUTES = DAYS * 1440;

export type Minutes = Uint32Array;

/** What starts at least once a minute. */
export const everyMinute: Minutes = new Uint32Array(MINUTES / 32).fill(0xffffffff);

export class Timetable {
  /** Minutes since the epoch. */
  readonly from: number;
  readonly to: number;
  readonly #known = new Map<Entry, Minutes | undefined>();
  readonly #stretches = new Map<string, Stretch[]>();

  constructor(now: Date) {
    this.from = Math.floor(now.getTime() / 86_400_000) * 1440;
    this.to = this.from + MINUTES;
  }

  stretches(zone: string): Stretch[] {
    const known = this.#stretches.get(zone) ?? stretchesOf(zone, this.from, this.to);
    this.#stretches.set(zone, known);
    return known;
  }

  /** The minutes in which it starts; undefined where they are on no grid, or it is switched off. */
  minutesOf(entry: Entry): Minutes | undefined {
    if (!this.#known.has(entry)) this.#known.set(entry, this.#compute(entry));
    return this.#known.get(entry);
  }

  /** Its starts, as minutes since the epoch. */
  startsOf(entry: Entry): number[] {
    const bits = this.minutesOf(entry);
    return bits === undefined ? [] : listOf(bits).map((minute) => minute + this.from);
  }

  #compute(entry: Entry): Minutes | undefined {
    const timing = readTiming(entry.schedule, entry.engine);
    if (!entry.active || timing.kind !== "fields") return undefined;
    const bits = new Uint32Array(MINUTES / 32);
    const ofDay = timing.hours.flatMap((hour) => timing.minutes.map((at) => hour * 60 + at));
    for (const { from, to, offset } of this.stretches(entry.zone)) {
      const first = Math.floor((from + offset) / 1440);
      for (let day = first; day * 1440 - offset < to; day++) {
        if (!timing.isDay(new Date(day * 86_400_000))) continue;
        for (const minute of ofDay) {
          const at = day * 1440 + minute - offset;
          if (at >= from && at < to) set(bits, at - this.from);
        }
      }
    }
    return bits;
  }
}

function set(bits: Minutes, at: number): void {
  bits[at >> 5]! |= 1 << (at & 31);
}

export function countOf(bits: Minutes): number {
  let count = 0;
  for (const word of bits) count += onesIn(word);
  return count;
}

function onesIn(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** How many minutes both have. */
export function countBoth(a: Minutes, b: Minutes): number {
  let count = 0;
  for (let index = 0; index < a.length; index++) count += onesIn(a[index]! & b[index]!);
  return count;
}

export function shareAny(a: Minutes, b: Minutes): boolean {
  for (let index = 0; index < a.length; index++) if ((a[index]! & b[index]!) !== 0) return true;
  return false;
}

/** The minutes of a day that any day has: where two share none of these they never meet. */
export function dayOf(bits: Minutes): Minutes {
  const day = new Uint32Array(1440 / 32);
  for (let index = 0; index < bits.length; index++) day[index % day.length]! |= bits[index]!;
  return day;
}

/** Of 366 days, those of one year: 366 daily runs are 365. */
export function perYear(count: number): number {
  return Math.round(count / DAYS * 365);
}

/** Whether every minute of the one is one of the other. */
export function isWithin(part: Minutes, whole: Minutes): boolean {
  for (let index = 0; index < part.length; index++) {
    if ((part[index]! & ~whole[index]!) !== 0) return false;
  }
  return true;
}

export function areSame(a: Minutes, b: Minutes): boolean {
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** The minutes that are set, from 0 on. */
export function listOf(bits: Minutes): number[] {
  const list: number[] = [];
  for (const [index, word] of bits.entries()) {
    if (word === 0) continue;
    for (let bit = 0; bit < 32; bit++) if ((word & (1 << bit)) !== 0) list.push(index * 32 + bit);
  }
  return list;
}
