import type { Ended } from "./actions.ts";
import { counted } from "../../../shared/text.ts";

/** The counts of a run. */
export interface Figures {
  completed: number;
  retried: number;
  dead: number;
  /** Actions that were claimed and released without a call. */
  released: number;
  /** The numbers of completed, retried and dead occurrences, by kind. */
  kinds: Record<string, Record<string, number>>;
  /** The first dead ones. */
  deadActions: Ended["dead"];
  /** The numbers of actions that are due at the end, by kind. */
  due: Record<string, number>;
  stopped: "done" | "time";
}

const names: Record<string, string> = {
  reminder: "reminder",
  callback: "callback",
  edge_function: "edge function",
  engagement_command: "command",
};
const number = new Intl.NumberFormat("en-US");

/** One line for lists: "3 executed (2 reminders, 1 callback), 1 to be retried". */
export function summarize(figures: Figures, missing: Record<string, string>): string {
  const { completed, retried, dead, kinds, deadActions, due, stopped } = figures;
  const done = Object.entries(kinds)
    .filter(([, outcomes]) => (outcomes.completed ?? 0) > 0)
    .map(([kind, outcomes]) => counted(outcomes.completed ?? 0, names[kind] ?? kind));
  const parts = [
    completed + retried + dead === 0
      ? "no action was executed"
      : `${number.format(completed)} executed${done.length > 0 ? ` (${done.join(", ")})` : ""}`,
  ];
  if (retried > 0) parts.push(`${number.format(retried)} to be retried`);
  if (dead > 0) {
    const [first] = deadActions;
    parts.push(
      `${number.format(dead)} dead${
        first === undefined ? "" : `, first ${first.name || first.id}: ${first.error ?? "failed"}`
      }`,
    );
  }
  const left = Object.values(due).reduce((sum, count) => sum + count, 0);
  if (left > 0) parts.push(`${number.format(left)} still due`);
  if (stopped === "time") parts.push("stopped for want of time");
  for (const [name, wrong] of Object.entries(missing)) parts.push(`${name} ${wrong}`);
  return parts.join("; ");
}
