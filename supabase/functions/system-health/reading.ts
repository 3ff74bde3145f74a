import { z } from "zod";
import type { JsonObject } from "../../../shared/job/define-job.ts";
import type { ComponentDefinition } from "./components.ts";

/** The counts of a component's SQL function. */
export interface Reading {
  /** The number of watched things; 0 when there is nothing to watch. */
  watched: number;
  /** The figures by name; null when there is too little data for one. */
  figures: Record<string, number | null>;
  details: JsonObject;
  notes: string[];
}

/** The reading, or the reason why it failed. */
export type ReadingOutcome = { reading: Reading } | { unreadable: string };

/** The part of a database client that is used: calling a function, with a signal to abort the call. */
export interface HealthDatabase {
  rpc(name: string, args: Record<string, unknown>): {
    abortSignal(
      signal: AbortSignal,
    ): PromiseLike<{ data: unknown; error: unknown }>;
  };
}

/** The database stops a component after 3 s. This limit is for a database that does not answer. */
export const answerLimitMs = 5_000;

const readingSchema = z.object({
  watched: z.number().int().nonnegative(),
  figures: z.record(z.string(), z.number().nonnegative().nullable()),
  details: z.record(z.string(), z.json()).default({}),
  notes: z.array(z.string()).default([]),
});

/** Calls the component's function. Never throws; a failure is in the result. */
export async function readComponent(
  db: HealthDatabase,
  definition: ComponentDefinition,
  signal: AbortSignal,
  limitMs: number = answerLimitMs,
): Promise<ReadingOutcome> {
  const answer = await call(
    db,
    "scheduler_read_health",
    { p_component: definition.component },
    signal,
    limitMs,
  );
  return "unreadable" in answer ? answer : checkReading(definition, answer.data);
}

/** Calls a function of the database. Never throws, and never takes much longer than `limitMs`. */
export async function call(
  db: HealthDatabase,
  name: string,
  args: Record<string, unknown>,
  signal: AbortSignal,
  limitMs: number = answerLimitMs,
): Promise<{ data: unknown } | { unreadable: string }> {
  if (signal.aborted) return { unreadable: "not asked: the run is being stopped" };
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), limitMs);
  // Some clients ignore the signal while they wait for a connection.
  const aborted = new Promise<never>((_, reject) => {
    const stop = () => reject(new Error("stopped"));
    limit.signal.addEventListener("abort", stop, { once: true });
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    const { data, error } = await Promise.race([
      db.rpc(name, args).abortSignal(AbortSignal.any([signal, limit.signal])),
      aborted,
    ]);
    if (limit.signal.aborted) return { unreadable: noAnswer(limitMs) };
    return error === null || error === undefined ? { data } : { unreadable: inWords(error) };
  } catch (error) {
    if (limit.signal.aborted) return { unreadable: noAnswer(limitMs) };
    return { unreadable: inWords(error) };
  } finally {
    clearTimeout(timer);
    aborted.catch(() => {});
  }
}

function noAnswer(limitMs: number): string {
  return `no answer within ${limitMs / 1000} s`;
}

function checkReading(definition: ComponentDefinition, data: unknown): ReadingOutcome {
  const parsed = readingSchema.safeParse(data);
  if (!parsed.success) return { unreadable: badData(parsed.error) };
  for (const { figure } of definition.figures) {
    if (!Object.hasOwn(parsed.data.figures, figure)) {
      return { unreadable: `bad data: figures.${figure} is missing` };
    }
  }
  return { reading: parsed.data };
}

/** The first fault in an answer. */
export function badData(error: z.ZodError): string {
  const issue = error.issues[0];
  return `bad data: ${issue?.path.join(".") || "the answer"}: ${issue?.message}`;
}

/** The longest message in the run's result, in characters. */
const longestMessage = 1_000;

const databaseError = z.object({
  code: z.string().nullish(),
  message: z.string(),
});

/** Why a call failed, in words for the log. */
export function inWords(error: unknown): string {
  const parsed = databaseError.safeParse(error);
  if (!parsed.success) return `failed: ${String(error).slice(0, longestMessage)}`;
  const code = parsed.data.code ?? "";
  const message = parsed.data.message.trim().slice(0, longestMessage) || "no message";
  if (code === "42P01") return `a table is missing: ${message}`;
  if (code === "42703") return `a column is missing: ${message}`;
  if (code === "42501") return `permission is missing: ${message}`;
  if (code === "42883" || code === "PGRST202") return `a function is missing: ${message}`;
  if (code === "57014") return `took too long and was stopped: ${message}`;
  if (code === "55P03") return `a table it reads is locked: ${message}`;
  if (code === "PGRST003" || code === "53300") {
    return `no free connection: ${message}`;
  }
  if (code.startsWith("22")) return `bad data: ${message}`;
  if (code === "") return `the database cannot be reached: ${message}`;
  return `${message} (${code})`;
}
