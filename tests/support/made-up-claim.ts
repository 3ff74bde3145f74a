/** What a claim takes and is told, part by part: the decisions of supabase/sql/batches/claim.sql. */
import type { Claimed } from "../../supabase/functions/robust-batch-processor/steps.ts";
import type { Route } from "./made-up-breakers.ts";

/** A row of batch_tasks. */
export interface MadeUpTask {
  readonly id: number;
  readonly provider: string;
  /** Its prompt is longer than the provider takes. */
  readonly isTooLong: boolean;
  asksFallback: boolean;
  runAfter: number;
  attempts: number;
  failures: number;
}

/** See batches.claim_part. */
export interface Part extends Route {
  readonly held: number;
  readonly slots: number;
  taken: MadeUpTask[];
  room: number;
  restAt: number | null;
}

/** See batches.claim_room. */
export function roomOf(part: Part, before: readonly Part[], limit: number): number {
  if (part.answerer === null && part.problem === null) return 0;
  const ofAnswerer = part.answerer === null
    ? 0
    : takenBy(before.filter(({ answerer }) => answerer === part.answerer));
  const tries = part.isHalfOpen ? 1 - ofAnswerer : Infinity;
  return Math.max(0, Math.min(limit - takenBy(before), part.slots - ofAnswerer, tries));
}

function takenBy(parts: readonly Part[]): number {
  return parts.reduce((sum, { taken }) => sum + taken.length, 0);
}

/** The calls of a part's answerer that the claimer has after that part. */
function holds(part: Part, parts: readonly Part[]): number {
  const until = parts.slice(0, parts.indexOf(part) + 1);
  return part.held + takenBy(until.filter(({ answerer }) => answerer === part.answerer));
}

function hasMore({ answerer, isHalfOpen, taken, room, restAt }: Part, now: number): boolean {
  return answerer !== null && !isHalfOpen && taken.length >= room && restAt !== null &&
    restAt <= now;
}

/** See batches.called_providers. */
export function calledProviders(parts: readonly Part[]): Claimed["providers"] {
  const called = parts.filter(({ answerer, taken }) => answerer !== null && taken.length > 0);
  return Object.fromEntries(called.map(({ answerer, isHalfOpen }) => [answerer!.name, {
    model: `model-of-${answerer!.name}`,
    api_url_variable: "LOCAL_MODEL_API_URL",
    api_key_variable: "LOCAL_MODEL_API_KEY",
    concurrency: answerer!.concurrency,
    max_completion_tokens: 1_024,
    half_open: isHalfOpen,
  }]));
}

/** See batches.claim_outcome. */
export function moreOf(parts: readonly Part[], now: number): string[] {
  return parts.flatMap((part) =>
    hasMore(part, now) && holds(part, parts) > 0 ? part.answerer!.name : []
  );
}

/** See batches.claim_outcome: when to look again, Infinity: never. */
export function nextAtOf(parts: readonly Part[], limit: number, now: number): number {
  const times = parts.map((part, place) => {
    if (part.restAt === null) return Infinity;
    if (hasMore(part, now)) {
      if (holds(part, parts) >= part.answerer!.concurrency) return Infinity;
      return takenBy(parts.slice(0, place + 1)) >= limit ? now : now + 1_000;
    }
    if (part.problem !== null) return Math.max(part.restAt, now);
    const isHeldUp = part.answerer === null || part.isHalfOpen;
    return Math.max(part.restAt, isHeldUp ? part.callableAt : now + 1_000);
  });
  return Math.min(...times);
}
