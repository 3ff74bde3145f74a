/** The day as a picture for a terminal of 80 columns: a line an hour, a sign a minute. */
import type { Entry } from "./entry.ts";
import { startsTogether } from "./rules/shared-minutes.ts";
import type { Timetable } from "./timetable.ts";

/** Colours a text where the terminal wants it. */
export type Paint = (colour: "red" | "yellow" | "green" | "dim" | "bold", text: string) => string;

/** Undefined where no entry starts on the clock. Hours that look the same are one line. */
export function drawDay(
  entries: readonly Entry[],
  timetable: Timetable,
  paint: Paint,
): string | undefined {
  const counts = startsTogether(entries.flatMap((entry) => timetable.minutesOf(entry) ?? []));
  if (counts.every((count) => count === 0)) return undefined;
  const rows: { from: number; to: number; counts: number[] }[] = [];
  for (let hour = 0; hour < 24; hour++) {
    const own = counts.slice(hour * 60, hour * 60 + 60);
    const last = rows.at(-1);
    if (last !== undefined && last.counts.join() === own.join()) last.to = hour;
    else rows.push({ from: hour, to: hour, counts: own });
  }
  const groups = Array.from({ length: 12 }, (_, index) => index * 5);
  const heading = groups.map((minute) => `:${two(minute)}  `).join(" ");
  const lines = rows.map(({ from, to, counts }) => {
    const label = from === to ? two(from) : `${two(from)}-${two(to)}`;
    const cells = groups.map((minute) =>
      counts.slice(minute, minute + 5).map((count) => cell(count, paint)).join("")
    ).join(" ");
    return `${label.padEnd(5)}  ${cells}`;
  });
  return [
    "The day in UTC: how many entries start in each minute, on the fullest of days",
    `hour   ${heading}`.trimEnd(),
    ...lines,
  ].join("\n");
}

const two = (value: number) => String(value).padStart(2, "0");

function cell(count: number, paint: Paint): string {
  if (count === 0) return paint("dim", ".");
  const sign = count > 9 ? "#" : String(count);
  return count >= 4 ? paint("red", sign) : count >= 2 ? paint("yellow", sign) : sign;
}
