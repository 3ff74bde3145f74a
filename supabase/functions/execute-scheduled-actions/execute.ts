import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import type { Actions, CalledKind, Ended, Result } from "./actions.ts";
import { type Call, createLanes, type Held, type Lanes } from "./calls.ts";
import { callTimeoutMs } from "./outcome.ts";
import { type Figures, summarize } from "./summarize.ts";

const actionsAtOnce = 1_000;
/** The share of the run's time for reminders and commands; the calls get the rest. */
const databaseShare = 0.5;
const claimedAtOnce = 1_000;
const claimedPerReceiver = 200;
/** The run claims more actions when fewer than this are waiting. */
const lowWater = 100;
const reportedAtOnce = 200;
const reportAfterMs = 2_000;
/** The time reserved after the last call for reports and the receipt. */
const reserveMs = 5_000;
/** A claim lasts this much longer than its run can. */
const leaseMarginMs = 30_000;
const maximumNamed = 20;

export type ExecuteContext = Pick<
  JobContext,
  "log" | "signal" | "now" | "remainingMs" | "reportProgress"
>;

/** The call for each kind of action that is executed by one. A kind that is not configured is missing. */
export type Calls = Partial<Record<CalledKind, Call>>;

/**
 * Executes due actions until none is left or the time runs out. Actions that it did not reach stay due.
 *
 * @param missing Missing or invalid environment variables, each with its fault. Kinds that need them are skipped.
 */
export async function execute(
  context: ExecuteContext,
  actions: Actions,
  calls: Calls,
  missing: Record<string, string>,
): Promise<JsonObject> {
  const figures: Figures = {
    completed: 0,
    retried: 0,
    dead: 0,
    released: 0,
    kinds: {},
    deadActions: [],
    due: {},
    stopped: "done",
  };
  await executeInDatabase(context, actions, figures);
  await executeByCalls(context, actions, calls, figures);
  figures.due = await actions.due();
  const notable = figures.dead > 0 ? "error" : hasCalled(figures) ? "info" : undefined;
  return {
    summary: summarize(figures, missing),
    ...figures,
    notConfigured: Object.keys(missing),
    ...(notable === undefined ? {} : { notable }),
  };
}

async function executeInDatabase(
  context: ExecuteContext,
  actions: Actions,
  figures: Figures,
): Promise<void> {
  const endAt = context.remainingMs() * (1 - databaseShare);
  while (!context.signal.aborted && context.remainingMs() >= endAt) {
    const step = await actions.executeInDatabase(actionsAtOnce);
    add(figures, step);
    context.reportProgress(progress(figures));
    if (step.executed < actionsAtOnce) return;
  }
  figures.stopped = "time";
}

async function executeByCalls(
  context: ExecuteContext,
  actions: Actions,
  calls: Calls,
  figures: Figures,
): Promise<void> {
  const kinds = (Object.keys(calls) as CalledKind[]).filter((kind) => calls[kind] !== undefined);
  if (kinds.length === 0) return;
  const lanes = createLanes(
    (action, signal) => calls[action.kind]!(action, signal),
    context.signal,
  );
  const results: Result[] = [];
  let reportedAt = context.now().getTime();
  let isMoreDue = true;
  let sated: string[] = [];

  const hasTime = () =>
    !context.signal.aborted && context.remainingMs() > callTimeoutMs + reserveMs;
  const report = async () => {
    reportedAt = context.now().getTime();
    if (results.length === 0) return;
    const batch = results.splice(0, reportedAtOnce);
    const step = await actions.report(batch);
    add(figures, step);
    figures.released += batch.filter(({ outcome }) => outcome === "released").length;
    if (step.refused > 0) context.log.warn("results were refused", { refused: step.refused });
    context.reportProgress(progress(figures));
  };
  const claim = async () => {
    sated = lanes.sated();
    const leaseSeconds = Math.ceil((context.remainingMs() + leaseMarginMs) / 1000);
    const { token, more, actions: claimed } = await actions.claim({
      kinds,
      limit: claimedAtOnce,
      perReceiver: claimedPerReceiver,
      leaseSeconds,
      exceptReceivers: sated,
    });
    // Actions may be due and not claimable, because another transaction has locked their rows.
    isMoreDue = more && claimed.length > 0;
    lanes.add(claimed.map((action) => ({ action, token })));
  };
  /** Whether a claim may find actions: more were due, or a receiver that had enough waiting has room again. */
  const isWorthClaiming = () =>
    lanes.waiting() < lowWater && (isMoreDue || hasRoomAgain(sated, lanes));

  try {
    while (hasTime()) {
      if (isWorthClaiming()) await claim();
      results.push(...lanes.withdraw("silent").map(released));
      lanes.start();
      if (lanes.running() === 0 && !isWorthClaiming()) break;
      if (lanes.running() > 0) await lanes.next();
      results.push(...collect(lanes, context.signal));
      if (
        results.length >= reportedAtOnce || context.now().getTime() - reportedAt >= reportAfterMs
      ) await report();
    }
  } finally {
    // Even after an error, report the calls that were made and release the actions that were not called.
    if (!hasTime()) figures.stopped = "time";
    results.push(...lanes.withdraw("all").map(released));
    while (true) {
      results.push(...collect(lanes, context.signal));
      if (results.length > 0) await report();
      else if (lanes.running() > 0) await lanes.next();
      else break;
    }
  }
}

function hasRoomAgain(sated: string[], lanes: Lanes): boolean {
  const now = new Set(lanes.sated());
  return sated.some((receiver) => !now.has(receiver));
}

function collect(lanes: Lanes, signal: AbortSignal): Result[] {
  return lanes.ended().map(({ held, outcome: { silent, ...outcome } }) =>
    // The end of the run aborted this call, so the receiver is not to blame.
    silent && signal.aborted
      ? released(held)
      : { id: held.action.id, token: held.token, ...outcome }
  );
}

function released({ action, token }: Held): Result {
  return { id: action.id, token, outcome: "released" };
}

function add(figures: Figures, { counts, dead }: Ended): void {
  for (const [kind, outcomes] of Object.entries(counts)) {
    const sums = figures.kinds[kind] ??= {};
    for (const [outcome, number] of Object.entries(outcomes)) {
      sums[outcome] = (sums[outcome] ?? 0) + number;
      if (outcome === "completed" || outcome === "retried" || outcome === "dead") {
        figures[outcome] += number;
      }
    }
  }
  figures.deadActions.push(...dead.slice(0, maximumNamed - figures.deadActions.length));
}

function progress({ completed, retried, dead }: Figures): JsonObject {
  return { completed, retried, dead };
}

function hasCalled({ kinds }: Figures): boolean {
  return ["callback", "edge_function"].some((kind) => (kinds[kind]?.completed ?? 0) > 0);
}
