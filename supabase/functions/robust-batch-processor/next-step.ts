/** What a run does next: functions of its state and the time, without any effect. */
import { callsUnderWay, isOver, type RunState } from "./state.ts";
import type { Result, Task } from "./steps.ts";

/** Time at the end of a run for writing the results of its calls. */
const reserveMs = 5_000;
/** No call begins with less than this left, or than twice what the slowest took. */
const shortestCallMs = 10_000;
/** A run waits for tasks that are due within this time; the next run takes later ones. It claims at least so often. */
const longestIdleMs = 5_000;
/** How much goes to the database at once. */
const resultsAtOnce = 200;
const charactersAtOnce = 4_000_000;
/** How many calls the database is told of for an answerer that is to get no further task. */
const tooMany = 1_000_000;

export interface Time {
  /** Milliseconds since 1970. */
  now: number;
  /** Until the run's deadline. */
  remainingMs: number;
  /** The deadline has come, or the batch job ended elsewhere. */
  isStopped: boolean;
}

export type Step =
  | { do: "give back"; tasks: readonly Task[] }
  | { do: "hand on" }
  | { do: "write"; results: readonly Result[] }
  | { do: "claim"; busy: Record<string, number> }
  | { do: "wait"; ms: number }
  | { do: "end" };

export function nextStep(state: RunState, time: Time): Step {
  const givenBack = tasksToGiveBack(state, time);
  if (givenBack.length > 0) return { do: "give back", tasks: givenBack };
  if (mustHandOn(state, time)) return { do: "hand on" };
  if (state.results.length > 0) return { do: "write", results: oldestResults(state.results) };
  if (mustClaim(state, time)) return { do: "claim", busy: busyAnswerers(state, time) };
  const untilClaimMs = state.claimAt === null ? Infinity : state.claimAt - time.now;
  if (callsUnderWay(state) === 0 && (mustStop(state, time) || untilClaimMs > longestIdleMs)) {
    return { do: "end" };
  }
  return { do: "wait", ms: Math.min(untilClaimMs > 0 ? untilClaimMs : Infinity, longestIdleMs) };
}

/** The waiting tasks whose calls may begin now. */
export function callsToBegin(state: RunState, time: Time): Task[] {
  if (mustStop(state, time)) return [];
  // An answerer that has just failed is not called again before the breaker knows of it.
  const failed = new Set(
    [...state.writing, ...state.results].filter(({ outcome }) =>
      outcome === "failed" || outcome === "waiting"
    ).map(({ answerer }) => answerer),
  );
  return Object.entries(state.answerers).flatMap(([name, { provider, waiting, calling }]) =>
    failed.has(name) || !hasTime(state, time, name)
      ? []
      : waiting.slice(0, Math.max(0, provider.concurrency - calling))
  );
}

/**
 * When the next run is to be called, by a run that has ended.
 *
 * @param forgotten How many leased tasks this run did not know of: of a claim whose answer was lost.
 */
export function nextRunAt(state: RunState, forgotten: number, time: Time): number {
  const soon = state.more.length > 0 || forgotten > 0 ? time.now : state.claimAt ?? time.now;
  const hasCalled = Object.values(state.answerers).some(({ slowestMs }) => slowestMs !== null);
  // Without time for a single call: not in this worker again, and again, until it ends.
  return !hasCalled && !hasTime(state, time)
    ? Math.max(soon, time.now + time.remainingMs + 1_000)
    : soon;
}

/** How much of the time that is left calls may use. */
export function callTimeMs({ callMs }: RunState, { remainingMs }: Time): number {
  return remainingMs - Math.min(reserveMs, callMs);
}

/** Whether a call may begin. A slow answerer's calls need more time than a fast one's, and stop earlier. */
function hasTime(state: RunState, time: Time, answerer?: string): boolean {
  const slowestMs = state.answerers[answerer ?? ""]?.slowestMs ?? 0;
  return callTimeMs(state, time) >=
    Math.min(state.callMs, Math.max(shortestCallMs, 2 * slowestMs));
}

/** Whether this run begins no further call. */
function mustStop(state: RunState, time: Time): boolean {
  const { answered, failed } = state.figures;
  return time.isStopped || isOver(state.status) || !hasTime(state, time) ||
    answered + failed >= state.maxTasks;
}

function tasksToGiveBack(state: RunState, time: Time): readonly Task[] {
  // A batch job that is over takes no tasks back.
  if (isOver(state.status)) return [];
  const stops = mustStop(state, time);
  return [
    ...state.toGiveBack,
    ...Object.entries(state.answerers).flatMap(([name, { waiting }]) =>
      stops || !hasTime(state, time, name) ? waiting : []
    ),
  ];
}

/** Open tasks that this run does not call need not wait for its last call. */
function mustHandOn(state: RunState, time: Time): boolean {
  const calling = callsUnderWay(state);
  const stops = mustStop(state, time) || state.more.some((name) => !hasTime(state, time, name));
  return state.handedOnAt === null && stops && calling > 0 && !isOver(state.status) &&
    state.open - calling - state.results.length > 0;
}

function mustClaim(state: RunState, time: Time): boolean {
  if (mustStop(state, time)) return false;
  const isDue = state.claimAt !== null && state.claimAt <= time.now;
  // Others give tasks back and close breakers while a call of this run takes its time.
  const isOverdue = time.now - state.claimedAt >= longestIdleMs;
  return isDue || isOverdue ||
    state.more.some((name) =>
      hasTime(state, time, name) && state.answerers[name]?.hasFreedSlots === true
    );
}

function busyAnswerers(state: RunState, time: Time): Record<string, number> {
  return Object.fromEntries(
    Object.entries(state.answerers).map(([name, { waiting, calling }]) => [
      name,
      hasTime(state, time, name) ? waiting.length + calling : tooMany,
    ]),
  );
}

/** As many as go to the database at once. */
function oldestResults(results: readonly Result[]): readonly Result[] {
  let characters = 0;
  let count = 0;
  for (const { answer } of results.slice(0, resultsAtOnce)) {
    characters += answer?.length ?? 0;
    if (count > 0 && characters > charactersAtOnce) break;
    count++;
  }
  return results.slice(0, count);
}
