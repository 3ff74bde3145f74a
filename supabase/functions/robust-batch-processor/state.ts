import type { Outcome } from "./call-provider.ts";
import type { Claimed, Finished, Provider, Result, Task } from "./steps.ts";
import type { Figures } from "./summarize.ts";

/** A provider that answers tasks of the batch job, and what this run has of it. */
export interface Answerer {
  readonly provider: Provider;
  /** Claimed tasks that are not called yet. */
  readonly waiting: readonly Task[];
  /** Calls under way. */
  readonly calling: number;
  /** Null before a call has ended. */
  readonly slowestMs: number | null;
  /** Results of it were written since the last claim, so it has slots again. */
  readonly hasFreedSlots: boolean;
  /** A call of this run tries whether it is back. */
  readonly isTried: boolean;
}

/** What a run knows. Times are milliseconds since 1970. Each function below returns the state after one event. */
export interface RunState {
  readonly maxTasks: number;
  /** How long a call may take. */
  readonly callMs: number;
  /** The batch job's. */
  readonly status: string;
  /** This run ended the batch job, not another one. */
  readonly ended: boolean;
  /** Tasks of the batch job that have not ended. */
  readonly open: number;
  readonly figures: Figures;
  readonly answerers: Readonly<Record<string, Answerer>>;
  /** The ids of claimed tasks whose results are not written, and which are not given back. */
  readonly held: ReadonlySet<number>;
  /** Results that are not written yet, and those that are being written. */
  readonly results: readonly Result[];
  readonly writing: readonly Result[];
  /** Tasks that are not to be called any more. */
  readonly toGiveBack: readonly Task[];
  /** Answerers that have further tasks. */
  readonly more: readonly string[];
  /** When the rest is worth another claim; null: never. */
  readonly claimAt: number | null;
  readonly claimedAt: number;
  readonly openBreakers: readonly string[];
  /** When this run had the next one called, before its own end. */
  readonly handedOnAt: number | null;
}

/** Statuses of a batch job that is not to be worked on, "unknown" of one that was deleted. */
export function isOver(status: string): boolean {
  return status !== "pending" && status !== "running";
}

export function callsUnderWay({ answerers }: RunState): number {
  return Object.values(answerers).reduce((sum, { calling }) => sum + calling, 0);
}

export function begin(first: Claimed, maxTasks: number, now: number): RunState {
  return afterClaim(
    {
      maxTasks,
      callMs: first.settings.call_timeout_seconds * 1000,
      status: first.status,
      ended: false,
      open: first.open,
      figures: { answered: 0, failed: 0, givenBack: 0, lost: 0 },
      answerers: {},
      held: new Set(),
      results: [],
      writing: [],
      toGiveBack: [],
      more: [],
      claimAt: null,
      claimedAt: now,
      openBreakers: [],
      handedOnAt: null,
    },
    first,
    now,
  );
}

export function afterClaim(state: RunState, claimed: Claimed, now: number): RunState {
  const answerers = change(state.answerers, () => ({ hasFreedSlots: false }));
  for (const [name, provider] of Object.entries(claimed.providers)) {
    const before = answerers[name] ?? unknownAnswerer(provider);
    answerers[name] = { ...before, provider, isTried: before.isTried || provider.half_open };
  }
  const results = [...state.results];
  // A run whose lease went to another one for a while may be given a task that it has: it goes on with that task.
  const tasks = claimed.tasks.filter(({ id }) => !state.held.has(id));
  for (const { id, answerer, prompt, problem } of tasks) {
    if (problem !== null || answerer === null || prompt === null) {
      const outcome = answerer === null ? "unusable" : "refused";
      results.push({ id, outcome, reason: problem ?? "cannot be called" });
    } else {
      const { waiting, ...rest } = answerers[answerer]!;
      answerers[answerer] = { ...rest, waiting: [...waiting, { id, answerer, prompt }] };
    }
  }
  return {
    ...state,
    status: statusAfter(state, claimed),
    ended: state.ended || claimed.ended,
    answerers,
    held: state.held.union(new Set(tasks.map(({ id }) => id))),
    results,
    more: claimed.more,
    claimAt: claimed.next_in_ms === null ? null : now + claimed.next_in_ms,
    claimedAt: now,
  };
}

export function afterCallsBegan(state: RunState, tasks: readonly Task[]): RunState {
  const begun = new Set(tasks.map(({ id }) => id));
  return {
    ...state,
    answerers: change(state.answerers, ({ waiting, calling }) => {
      const left = waiting.filter(({ id }) => !begun.has(id));
      return { waiting: left, calling: calling + waiting.length - left.length };
    }),
  };
}

export function afterCall(
  state: RunState,
  { id, answerer }: Task,
  outcome: Outcome,
  tookMs: number,
): RunState {
  return {
    ...state,
    answerers: change(state.answerers, ({ calling, slowestMs }, name) =>
      name !== answerer ? {} : {
        calling: calling - 1,
        slowestMs: Math.max(slowestMs ?? 0, tookMs),
      }),
    results: [...state.results, { id, answerer, ...outcome }],
  };
}

export function whileWriting(state: RunState, writing: readonly Result[]): RunState {
  return { ...state, writing, results: state.results.filter((each) => !writing.includes(each)) };
}

export function afterWriting(state: RunState, told: Finished, now: number): RunState {
  const written = state.writing;
  const answered = new Set(
    written.filter(({ outcome }) => outcome === "answered").map(({ answerer }) => answerer),
  );
  const givenBack = told.accepted - told.completed - told.failed;
  const isOpen = (name: string) => told.open_breakers.includes(name);
  const hasWritten = (name: string) => written.some(({ answerer }) => answerer === name);
  // Tasks that waited for a provider can be claimed when its breaker has closed, and one of them when the call that
  // tried it left it half-open.
  const isBack = state.openBreakers.some((name) => !isOpen(name)) ||
    Object.entries(state.answerers).some(([name, { isTried }]) =>
      isTried && hasWritten(name) && !isOpen(name)
    );
  const answerers = change(state.answerers, ({ waiting, hasFreedSlots, isTried }, name) => ({
    // A breaker that opened meanwhile also stops the tasks that wait here.
    waiting: isOpen(name) ? [] : waiting,
    hasFreedSlots: hasFreedSlots || hasWritten(name),
    isTried: isTried && !answered.has(name),
  }));
  return {
    ...state,
    status: statusAfter(state, told),
    ended: state.ended || told.ended,
    open: told.open,
    figures: {
      answered: state.figures.answered + told.completed,
      failed: state.figures.failed + told.failed,
      givenBack: state.figures.givenBack + givenBack,
      lost: state.figures.lost + told.refused,
    },
    answerers,
    held: state.held.difference(new Set(written.map(({ id }) => id))),
    writing: [],
    toGiveBack: [
      ...state.toGiveBack,
      ...Object.entries(state.answerers).flatMap(([name, { waiting }]) =>
        isOpen(name) ? waiting : []
      ),
    ],
    claimAt: givenBack > 0 || told.refused > 0 || isBack ? now : state.claimAt,
    openBreakers: told.open_breakers,
  };
}

export function afterGivingBack(state: RunState, tasks: readonly Task[], now: number): RunState {
  const gone = new Set(tasks.map(({ id }) => id));
  const stays = ({ id }: Task) => !gone.has(id);
  return {
    ...state,
    answerers: change(state.answerers, ({ waiting }) => ({ waiting: waiting.filter(stays) })),
    held: state.held.difference(gone),
    toGiveBack: state.toGiveBack.filter(stays),
    figures: { ...state.figures, givenBack: state.figures.givenBack + tasks.length },
    claimAt: now,
  };
}

export function afterHandingOn(state: RunState, now: number): RunState {
  return { ...state, handedOnAt: now };
}

export function afterHeartbeat(state: RunState, status: string): RunState {
  return { ...state, status };
}

/** A batch job that is over stays so. A reply that says otherwise is older than the heartbeat that said so. */
function statusAfter(state: RunState, told: { status: string }): string {
  return isOver(state.status) ? state.status : told.status;
}

function unknownAnswerer(provider: Provider): Answerer {
  return {
    provider,
    waiting: [],
    calling: 0,
    slowestMs: null,
    hasFreedSlots: false,
    isTried: false,
  };
}

function change(
  answerers: RunState["answerers"],
  to: (answerer: Answerer, name: string) => Partial<Answerer>,
): Record<string, Answerer> {
  return Object.fromEntries(
    Object.entries(answerers).map(([name, answerer]) => [
      name,
      { ...answerer, ...to(answerer, name) },
    ]),
  );
}
