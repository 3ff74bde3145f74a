/** Reads an exported log of edge functions: JSON, an array or a line each. */
import type { FunctionRun } from "./facts.ts";

/**
 * The calls in a log: of the export of the log explorer (`function_edge_logs`), or lines with `function`, `timestamp`,
 * `duration_ms`, `status_code`. What is no call of a function is left out.
 *
 * @throws Error where it is no JSON, or has no call at all.
 */
export function readFunctionLog(name: string, text: string): FunctionRun[] {
  const runs = rowsOf(name, text).flatMap((row): FunctionRun[] => {
    const url = `${find(row, "event_message") ?? ""} ${find(row, "url") ?? ""}`;
    const functionName = find(row, "function", "function_name") ??
      /\/functions\/v1\/([\w-]+)/.exec(url)?.[1];
    const startedAt = momentOf(find(row, "started_at", "timestamp"));
    if (typeof functionName !== "string" || startedAt === undefined) return [];
    const durationMs = numberOf(find(row, "execution_time_ms", "duration_ms"));
    const statusCode = numberOf(find(row, "status_code", "status"));
    return [{
      functionName,
      startedAt,
      ...(durationMs === undefined ? {} : { durationMs }),
      ...(statusCode === undefined ? {} : { statusCode }),
    }];
  });
  if (runs.length === 0) throw new Error(`Cannot find a call of a function in ${name}`);
  return runs;
}

function rowsOf(name: string, text: string): unknown[] {
  try {
    if (text.trimStart().startsWith("[")) return JSON.parse(text);
    return text.split("\n").filter((line) => line.trim() !== "").map((line) => JSON.parse(line));
  } catch {
    throw new Error(`Cannot read ${name}: it must be JSON, an array or a line each`);
  }
}

/** The first value of one of these keys, however deep: the export nests lists in lists. */
function find(tree: unknown, ...keys: string[]): unknown {
  if (tree === null || typeof tree !== "object") return undefined;
  for (const key of keys) {
    const value = (tree as Record<string, unknown>)[key];
    if (typeof value === "string" || typeof value === "number") return value;
  }
  for (const value of Object.values(tree)) {
    const found = find(value, ...keys);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A time as text, in seconds, milliseconds or microseconds since the epoch. */
function momentOf(value: unknown): Date | undefined {
  const number = numberOf(value);
  const ms = number === undefined
    ? Date.parse(String(value))
    : number > 1e14
    ? number / 1000
    : number > 1e11
    ? number
    : number * 1000;
  return Number.isNaN(ms) ? undefined : new Date(ms);
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "string" && /^\d+(\.\d+)?$/.test(value) ? Number(value) : undefined;
}
