import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { errorMessage, PermanentError } from "../../../shared/job/errors.ts";
import type { Providers } from "./call-provider.ts";
import { createSlots } from "./slots.ts";
import type { Claimed, Result, Steps, Task } from "./steps.ts";
import { type Figures, summarize } from "./summarize.ts";

/** What is left at the end of a run for reporting what its calls came to. */
const reserveMs = 5_000;
/** No call is begun with less than this left, or than twice what the slowest took. */
const shortestCallMs = 10_000;
/** Up to here a run waits for tasks that are due soon; for later ones the next run is called. And so often it looks. */
const longestIdleMs = 5_000;
/** What goes to the database at once. */
const resultsAtOnce = 200;
const charactersAtOnce = 4_000_000;

type Context = Pick<
  JobContext,
  "log" | "signal" | "now" | "remainingMs" | "reportProgress"
>;

/**
 * Works on a batch job until it is over, until no task of it can be called soon, or until the time or
 * `maxTasks` is used up; then has the next run called for. Other processors may do the same at the same time.
 *
 * @param wait Waits for news, but no longer than that; tests whose clock stands still move it here.
 */
export async function processBatch(
  input: { batchJobId?: string | undefined; maxTasks: number },
  context: Context,
  steps: Steps,
  providers: Providers,
  wait: (ms: number, news: Promise<void>) => Promise<void> = atMost,
): Promise<JsonObject> {
  const { log, now, signal } = context;
  const batchJobId = input.batchJobId ?? await steps.oldestOpen();
  if (batchJobId === undefined) {
    return { summary: "no batch job is open", answered: 0, failed: 0 };
  }

  const slots = createSlots();
  const results: Result[] = [];
  let writing: Result[] = [];
  const figures: Figures = { answered: 0, failed: 0, givenBack: 0, lost: 0 };
  const stopCalls = new AbortController();
  let news = Promise.withResolvers<void>();
  const slowestMs = new Map<string, number>();

  const first = await steps.claim(batchJobId, {});
  let status = first.status;
  let open = first.open;
  if (status === "unknown") {
    throw new PermanentError(`Cannot claim tasks: there is no batch job ${batchJobId}`);
  }
  /** This run ended the batch job, not another one. */
  let ended = false;
  const callMs = first.settings.call_timeout_seconds * 1000;
  const spareMs = Math.min(reserveMs, callMs);
  /** Answerers that have further tasks, those whose calls ended since, and when the rest is worth another look; null: never. */
  let more: string[] = [];
  const freed = new Set<string>();
  /** Answerers that are called to try whether they are back. */
  const probing = new Set<string>();
  let lookAt: number | null = null;
  let lookedAt = 0;
  let openBreakers: string[] = [];
  /** The next run was called for before this one is over. */
  let handedOnAt: Date | null = null;

  const report = (result: Result) => {
    results.push(result);
    news.resolve();
  };
  const take = (claimed: Claimed) => {
    status = claimed.status;
    ended ||= claimed.ended;
    more = claimed.more;
    for (const [name, { half_open }] of Object.entries(claimed.providers)) {
      if (half_open) probing.add(name);
    }
    freed.clear();
    lookedAt = now().getTime();
    lookAt = claimed.next_in_ms === null ? null : lookedAt + claimed.next_in_ms;
    const tasks: Task[] = [];
    for (const { id, answerer, prompt, problem } of claimed.tasks) {
      if (problem !== null || answerer === null || prompt === null) {
        const outcome = answerer === null ? "unusable" : "refused";
        report({ id, outcome, reason: problem ?? "cannot be called" });
      } else tasks.push({ id, answerer, prompt });
    }
    slots.add(claimed, tasks);
  };
  const startCalls = () => {
    if (mustStop()) return;
    for (const { task, provider } of slots.start(mayCall)) {
      const { id, answerer } = task;
      const startedAt = now().getTime();
      const limits = {
        timeoutMs: callMs,
        leftMs: Math.max(1, context.remainingMs() - spareMs),
        signal: AbortSignal.any([signal, stopCalls.signal]),
      };
      void providers.call(task, provider, limits).then((outcome) => {
        const tookMs = now().getTime() - startedAt;
        slowestMs.set(answerer, Math.max(slowestMs.get(answerer) ?? 0, tookMs));
        slots.done(answerer);
        report({ id, answerer, ...outcome });
        // No hand stays idle while the results are written.
        startCalls();
      });
    }
  };
  /** A slow provider's calls need more time than a fast one's, and stop the earlier. */
  const hasTime = (answerer?: string) =>
    context.remainingMs() - spareMs >=
      Math.min(callMs, Math.max(shortestCallMs, 2 * (slowestMs.get(answerer ?? "") ?? 0)));
  /** Who has just failed is not called again before the breaker knows of it. */
  const mayCall = (answerer: string) =>
    hasTime(answerer) &&
    ![...writing, ...results].some((result) =>
      result.answerer === answerer && ["failed", "waiting"].includes(result.outcome)
    );
  const mustStop = () =>
    signal.aborted || stopCalls.signal.aborted || isOver(status) || !hasTime() ||
    figures.answered + figures.failed >= input.maxTasks;
  const giveBack = async (tasks: Task[]) => {
    if (tasks.length === 0 || isOver(status)) return;
    await steps.release(batchJobId, tasks.map((task) => task.id));
    figures.givenBack += tasks.length;
    lookAt = now().getTime();
  };
  const writeResults = async () => {
    writing = takeSome(results);
    const told = await steps.finish(batchJobId, writing);
    const answerers = writing.filter(({ outcome }) => outcome === "answered")
      .map(({ answerer }) => answerer);
    const back = answerers.filter((answerer) => probing.delete(answerer ?? "")).length > 0 ||
      openBreakers.some((answerer) => !told.open_breakers.includes(answerer));
    openBreakers = told.open_breakers;
    for (const { answerer } of writing) if (answerer !== undefined) freed.add(answerer);
    writing = [];
    status = told.status;
    ended ||= told.ended;
    open = told.open;
    figures.answered += told.completed;
    figures.failed += told.failed;
    figures.givenBack += told.accepted - told.completed - told.failed;
    figures.lost += told.refused;
    // There may be something to claim: what was given back, or all that waited for a provider that is back.
    if (told.accepted > told.completed + told.failed || told.refused > 0 || back) {
      lookAt = now().getTime();
    }
    context.reportProgress({ batchJobId, ...figures, open });
    // A breaker that opened meanwhile is for the tasks that wait here, too.
    await giveBack(slots.takeBack((answerer) => told.open_breakers.includes(answerer)));
  };
  /** What is open and not to be called by this run does not wait for its last call. */
  const handOn = async () => {
    const left = open - slots.calling() - results.length;
    const stops = mustStop() || more.some((answerer) => !hasTime(answerer));
    if (handedOnAt !== null || !stops || left <= 0 || slots.calling() === 0 || isOver(status)) {
      return;
    }
    handedOnAt = now();
    await steps.continueAt(batchJobId, handedOnAt);
  };
  const beat = async () => {
    try {
      const told = await steps.heartbeat(batchJobId);
      if (isOver(told)) {
        status = told;
        stopCalls.abort();
        news.resolve();
      }
    } catch (error) {
      log.warn("cannot report the heartbeat", { error: errorMessage(error) });
    }
  };

  const heart = setInterval(
    () => void beat(),
    first.settings.heartbeat_seconds * 1000,
  );
  try {
    take(first);
    for (;;) {
      news = Promise.withResolvers();
      await giveBack(
        slots.takeBack((answerer) => mustStop() || !hasTime(answerer)),
      );
      if (!mustStop()) {
        const due = lookAt !== null && lookAt <= now().getTime();
        // Others give tasks back and close breakers while a call of this run takes its time.
        const overdue = now().getTime() - lookedAt >= longestIdleMs;
        if (due || overdue || more.some((answerer) => hasTime(answerer) && freed.has(answerer))) {
          take(await steps.claim(batchJobId, slots.busy(hasTime)));
        }
        startCalls();
      }
      await handOn();
      if (results.length > 0) {
        await writeResults();
        continue;
      }
      const idle = slots.calling() === 0;
      const untilLook = lookAt === null ? Infinity : lookAt - now().getTime();
      if (idle && (mustStop() || isOver(status) || untilLook > longestIdleMs)) {
        break;
      }
      if (untilLook <= 0 && !mustStop()) continue;
      await wait(
        Math.min(untilLook > 0 ? untilLook : longestIdleMs, longestIdleMs),
        news.promise,
      );
    }
  } finally {
    clearInterval(heart);
    stopCalls.abort();
  }

  let continuesAt: Date | null = isOver(status) ? null : handedOnAt;
  if (!isOver(status)) {
    // A claim whose answer did not arrive leased tasks that nobody here knows of.
    const forgotten = await steps.release(batchJobId);
    const soon = more.length > 0 || forgotten > 0 ? now().getTime() : lookAt ?? now().getTime();
    // Without time for a single call: not in this worker again, and again, until it ends.
    const hadNoTime = slowestMs.size === 0 && !hasTime();
    if (continuesAt === null) {
      continuesAt = new Date(
        hadNoTime ? Math.max(soon, now().getTime() + context.remainingMs() + 1_000) : soon,
      );
      await steps.continueAt(batchJobId, continuesAt);
    }
  }
  const notConfigured = [...providers.notConfigured].sort();
  return {
    summary: summarize(figures, status, open, continuesAt),
    batchJobId,
    status,
    ...figures,
    open,
    continuesAt: continuesAt?.toISOString() ?? null,
    ...(notConfigured.length > 0 ? { notConfigured } : {}),
    ...(ended && status === "partial" ? { notable: "warning" } : {}),
    ...(ended && status === "failed" ? { notable: "error" } : {}),
  };
}

function isOver(status: string): boolean {
  return status !== "pending" && status !== "running";
}

/** Takes the oldest results out, as many as go to the database at once. */
function takeSome(results: Result[]): Result[] {
  let characters = 0;
  let count = 0;
  for (const { answer } of results.slice(0, resultsAtOnce)) {
    characters += answer?.length ?? 0;
    if (count > 0 && characters > charactersAtOnce) break;
    count++;
  }
  return results.splice(0, count);
}

/** Waits for the promise, but no longer than that. */
async function atMost(ms: number, promise: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([promise, late.promise]);
  clearTimeout(timer);
}
