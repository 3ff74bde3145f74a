/** A plan of schedules as text for a terminal. */
import type { Json } from "../../local/schedules.ts";
import type {
  ClockChange,
  JobChange,
  NextTimes,
  Registration,
  SchedulesPlan,
} from "./schedules-compare.ts";
import { oneLine, type Paint } from "./render.ts";
import { clockTime } from "./times.ts";

const words = {
  registered: { sign: "+", colour: "green", will: "to be registered", done: "registered" },
  changed: { sign: "~", colour: "yellow", will: "to be changed", done: "changed" },
  taken_over: { sign: "~", colour: "yellow", will: "to be taken over", done: "taken over" },
  unregistered: { sign: "-", colour: "red", will: "to be unregistered", done: "unregistered" },
} as const;

export interface RenderOptions {
  paint: Paint;
  /** The reader's zone. */
  zone: string;
  /** It has been done. */
  isDone?: boolean;
}

/** The changes, a block each; then what stays as it is. */
export function renderPlan(plan: SchedulesPlan, options: RenderOptions): string {
  const { changes, unchanged, left_alone } = plan;
  const alone = left_alone.map(({ job, source }) =>
    `${job} (${source === null ? "registered in SQL" : `the pack ${source} registers it itself`})`
  );
  return [
    ...changes.map((change) => renderChange(change, options)),
    summaryOf(plan, options),
    unchanged.length === 0 ? "" : `Unchanged: ${unchanged.join(", ")}`,
    alone.length === 0 ? "" : `Left alone: ${alone.join(", ")}`,
  ].filter((part) => part !== "").join("\n");
}

function summaryOf({ changes }: SchedulesPlan, { isDone = false }: RenderOptions): string {
  if (changes.length === 0) return "Nothing is to be changed";
  return Object.entries(words).flatMap(([becomes, { will, done }]) => {
    const count = changes.filter((change) => change.becomes === becomes).length;
    return count === 0 ? [] : [`${count} ${isDone ? done : will}`];
  }).join(", ");
}

function renderChange(change: JobChange, { paint, zone, isDone = false }: RenderOptions): string {
  const { sign, colour, will, done } = words[change.becomes];
  const lines = [
    ...whatBecomes(change, zone),
    ...fieldLines(change, zone),
    ...change.paused === undefined ? [] : [
      `paused by ${oneLine(change.paused.by)}: ${oneLine(change.paused.reason)}` +
      (change.becomes === "unregistered" ? "" : "; stays paused"),
    ],
    ...nextLine(change.next_after === undefined ? "next" : "next now ", change.next_before),
    ...nextLine(change.next_before === undefined ? "next" : "next then", change.next_after),
    ...(change.clock_changes ?? []).map((clock) =>
      clockLine(clock, change.next_after?.time_zone ?? "UTC")
    ),
  ];
  const title = `${sign} ${change.job} (${change.source}): ${isDone ? done : will}`;
  return [paint(colour, title), ...lines.map((line) => `    ${line}`)].join("\n");
}

function whatBecomes({ becomes, last }: JobChange, zone: string): string[] {
  const by = last === null ? "" : `, by ${registeredBy(last, zone)}`;
  switch (becomes) {
    case "unregistered":
      return [
        "it is no longer in the file; its runs stay in the ledger, and those that wait are cancelled",
      ];
    case "taken_over":
      return [`it was registered in SQL${by}; from now on it is the file's`];
    case "registered":
      return last === null ? [] : [`it was taken out of the registry${by}`];
    case "changed":
      return [];
  }
}

function registeredBy({ author, at, reason }: Registration, zone: string): string {
  return `${oneLine(author)} at ${clockTime(at, zone)}` +
    (reason === null ? "" : ` (${oneLine(reason)})`);
}

function fieldLines({ becomes, fields, last }: JobChange, zone: string): string[] {
  const width = Math.max(0, ...fields.map(({ field }) => field.length));
  const lines = fields.map(({ field, now, then }) =>
    `${field.padEnd(width)}  ${becomes === "registered" ? "" : `${shown(now)} → `}${shown(then)}`
  );
  const byHand = fields.filter(({ by_hand }) => by_hand).map(({ field }) => field);
  if (byHand.length === 0) return lines;
  const who = last === null
    ? "the audit log does not say by whom"
    : `by ${registeredBy(last, zone)}`;
  return [...lines, `changed by hand since it was applied: ${byHand.join(", ")}; ${who}`];
}

function shown(value: Json): string {
  return typeof value === "string" ? value === "" ? '""' : oneLine(value) : JSON.stringify(value);
}

/** What holds for all of the times is said once, as their zone is. */
function nextLine(what: string, next: NextTimes | undefined): string[] {
  if (next === undefined) return [];
  const { times, time_zone: zone } = next;
  const notes = new Set(times.map(({ note }) => note));
  const ofAll = notes.size === 1 && times.length > 1 ? times[0]!.note : undefined;
  const list = times.map(({ local, note }) => {
    if (local === undefined || note === undefined || ofAll !== undefined) return local ?? note;
    return `${local} (${oneLine(note)})`;
  }).join(", ");
  const hasTimes = times.some(({ local }) => local !== undefined);
  return [[
    `${what}  ${list}`,
    ...hasTimes ? [zone] : [],
    ...ofAll === undefined ? [] : [`each ${oneLine(ofAll)}`],
  ].join("  ")];
}

function clockLine(clock: ClockChange, zone: string): string {
  const day = clock.first_time.slice(0, 10);
  const time = (text: string) => text.slice(11, 16);
  const times = clock.times === 1
    ? time(clock.first_time)
    : `${time(clock.first_time)} to ${time(clock.last_time)} (${clock.times} times)`;
  if (clock.change === "skipped") {
    const what = clock.follows_real_clock
      ? "it does not run then, and goes on by what the clock shows"
      : `it runs once, at ${clockTime(clock.changes_at, zone).slice(11, 16)}`;
    return `on ${day} the clock skips ${times}: ${what}`;
  }
  const what = clock.follows_real_clock ? "it runs each time" : "it runs the first time";
  return `on ${day} the clock shows ${times} twice: ${what}`;
}
