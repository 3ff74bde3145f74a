/** Answers as text for a terminal. */
import { styleText } from "node:util";
import { formatDuration, formatTable } from "../format-table.ts";
import type { Run } from "./answers.ts";
import { clockTime, jobsTime } from "./times.ts";

type Colour = "red" | "yellow" | "green" | "dim";

/** Colours a text where the terminal wants it. */
export type Paint = (colour: Colour, text: string) => string;

/** Colours are for a terminal, and for people who do not say NO_COLOR (https://no-color.org). */
export function wantsColours(isTerminal: boolean, noColour: string | undefined): boolean {
  return isTerminal && !noColour;
}

export function paintFor({ colours }: { colours: boolean }): Paint {
  return (colour, text) =>
    colours && text !== "" ? styleText(colour, text, { validateStream: false }) : text;
}

const colourOf: Record<string, Colour> = {
  healthy: "green",
  HEALTHY: "green",
  completed: "green",
  ok: "green",
  failing: "red",
  overdue: "red",
  breaker_open: "red",
  STALLED: "red",
  failed: "red",
  missed: "red",
  error: "red",
  late: "yellow",
  paused: "yellow",
  warning: "yellow",
  cancelled: "yellow",
  asked: "yellow",
  disabled: "dim",
  skipped: "dim",
  info: "dim",
};

/** A state, status or severity in its colour. */
export function paintState(paint: Paint, state: string): string {
  const colour = colourOf[state];
  return colour === undefined ? state : paint(colour, state);
}

/** Texts of jobs may hold anything: control characters, which could steer the terminal, become blanks. */
export function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x20\x7f-\x9f]+/g, " ").trim();
}

/** A table with its heading; columns that are empty in every row are left out. */
export function table(heading: string[], rows: string[][]): string {
  const used = heading.map((_, column) => rows.some((row) => (row[column] ?? "") !== ""));
  return formatTable([heading, ...rows].map((row) => row.filter((_, column) => used[column])));
}

/** A moment on the reader's clock, and on the job's where that shows another time. */
export function moments(
  moment: string | null,
  jobZone: string | null,
  zone: string,
): [string, string] {
  if (moment === null) return ["-", ""];
  return [clockTime(moment, zone), jobsTime(moment, jobZone, zone)];
}

/** The headings of `moments`. */
export function momentHeading(what: string, zone: string): [string, string] {
  return [`${what} (${zone})`, "ON THE JOB'S CLOCK"];
}

/** What a run found, or why it did not. */
export function whatCame(run: Run): string {
  const many = run.occurrences > 1 ? `${run.occurrences} occurrences` : "";
  const why = run.error_message ?? run.skip_reason ??
    (run.waits_for && `waits for ${run.waits_for}`);
  const verdict = run.verdict === "ok" || run.verdict === run.status ? "" : run.verdict;
  return oneLine(
    run.status === "completed"
      ? run.summary ?? ""
      : [verdict, many, why].filter(Boolean).join(": "),
  );
}

export function durationOf({ duration_ms }: Run): string {
  return duration_ms === null ? "" : formatDuration(duration_ms);
}
