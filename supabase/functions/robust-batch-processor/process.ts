import { atMost } from "../../../shared/at-most.ts";
import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { errorMessage, PermanentError } from "../../../shared/job/errors.ts";
import type { Providers } from "./call-provider.ts";
import {
  callsToBegin,
  callTimeMs,
  nextRunAt,
  nextStep,
  type Step,
  type Time,
} from "./next-step.ts";
import {
  afterCall,
  afterCallsBegan,
  afterClaim,
  afterGivingBack,
  afterHandingOn,
  afterHeartbeat,
  afterWriting,
  begin,
  isOver,
  type RunState,
  whileWriting,
} from "./state.ts";
import type { Claimed, Steps, Task } from "./steps.ts";
import { summarize } from "./summarize.ts";

type Context = Pick<JobContext, "log" | "signal" | "now" | "remainingMs" | "reportProgress">;
type Wait = (ms: number, news: Promise<void>) => Promise<void>;

/**
 * Works on a batch job until it is over, until no task of it can be called soon, or until the time or
 * `maxTasks` is used up; then has the next run called. Other processors may do the same at the same time.
 *
 * @param wait Waits for news, but no longer than that; tests whose clock stands still move it here.
 * @throws PermanentError when there is no such batch job.
 */
export async function processBatch(
  input: { batchJobId?: string | undefined; maxTasks: number },
  context: Context,
  steps: Steps,
  providers: Providers,
  wait: Wait = atMost,
): Promise<JsonObject> {
  const batchJobId = input.batchJobId ?? await steps.oldestOpen();
  if (batchJobId === undefined) {
    return { summary: "no batch job is open", answered: 0, failed: 0 };
  }
  const first = await steps.claim(batchJobId, {});
  if (first.status === "unknown") {
    throw new PermanentError(`Cannot claim tasks: there is no batch job ${batchJobId}`);
  }
  const run = new Run(batchJobId, first, input.maxTasks, { context, steps, providers, wait });
  await run.work(first.settings.heartbeat_seconds * 1000);
  return await run.end();
}

interface World {
  context: Context;
  steps: Steps;
  providers: Providers;
  wait: Wait;
}

/** Does what `nextStep` says, and tells the state what came of it. */
class Run {
  #state: RunState;
  #news = Promise.withResolvers<void>();
  readonly #stopped = new AbortController();
  readonly #batchJobId: string;
  readonly #world: World;

  constructor(batchJobId: string, first: Claimed, maxTasks: number, world: World) {
    this.#batchJobId = batchJobId;
    this.#world = world;
    this.#state = begin(first, maxTasks, world.context.now().getTime());
  }

  async work(heartbeatMs: number): Promise<void> {
    const heart = setInterval(() => void this.#beat(), heartbeatMs);
    try {
      for (;;) {
        this.#news = Promise.withResolvers();
        this.#beginCalls();
        const step = nextStep(this.#state, this.#time());
        if (step.do === "end") break;
        await this.#take(step);
      }
    } finally {
      clearInterval(heart);
      this.#stopped.abort();
    }
  }

  /** Gives back the tasks that this run still leases, has the next run called, and returns the result. */
  async end(): Promise<JsonObject> {
    const { steps, providers } = this.#world;
    if (!isOver(this.#state.status)) {
      const forgotten = await steps.release(this.#batchJobId);
      if (this.#state.handedOnAt === null) {
        await this.#handOn(nextRunAt(this.#state, forgotten, this.#time()));
      }
    }
    const { figures, status, open, ended, handedOnAt } = this.#state;
    const continuesAt = isOver(status) || handedOnAt === null ? null : new Date(handedOnAt);
    const notConfigured = [...providers.notConfigured].sort();
    return {
      summary: summarize(figures, status, open, continuesAt),
      batchJobId: this.#batchJobId,
      status,
      ...figures,
      open,
      continuesAt: continuesAt?.toISOString() ?? null,
      ...(notConfigured.length > 0 ? { notConfigured } : {}),
      ...(ended && status === "partial" ? { notable: "warning" } : {}),
      ...(ended && status === "failed" ? { notable: "error" } : {}),
    };
  }

  #time(): Time {
    const { now, remainingMs, signal } = this.#world.context;
    return {
      now: now().getTime(),
      remainingMs: remainingMs(),
      isStopped: signal.aborted || this.#stopped.signal.aborted,
    };
  }

  async #take(step: Exclude<Step, { do: "end" }>): Promise<void> {
    const { context, steps, wait } = this.#world;
    switch (step.do) {
      case "give back":
        await steps.release(this.#batchJobId, step.tasks.map((task) => task.id));
        this.#state = afterGivingBack(this.#state, step.tasks, this.#time().now);
        break;
      case "hand on":
        await this.#handOn(this.#time().now);
        break;
      case "write": {
        this.#state = whileWriting(this.#state, step.results);
        const told = await steps.finish(this.#batchJobId, step.results);
        this.#state = afterWriting(this.#state, told, this.#time().now);
        const { figures, open } = this.#state;
        context.reportProgress({ batchJobId: this.#batchJobId, ...figures, open });
        break;
      }
      case "claim": {
        const claimed = await steps.claim(this.#batchJobId, step.busy);
        this.#state = afterClaim(this.#state, claimed, this.#time().now);
        break;
      }
      case "wait":
        await wait(step.ms, this.#news.promise);
    }
  }

  async #handOn(at: number): Promise<void> {
    this.#state = afterHandingOn(this.#state, at);
    await this.#world.steps.continueAt(this.#batchJobId, new Date(at));
  }

  #beginCalls(): void {
    const tasks = callsToBegin(this.#state, this.#time());
    this.#state = afterCallsBegan(this.#state, tasks);
    for (const task of tasks) void this.#call(task);
  }

  async #call(task: Task): Promise<void> {
    const { context, providers } = this.#world;
    const time = this.#time();
    const outcome = await providers.call(task, this.#state.answerers[task.answerer]!.provider, {
      timeoutMs: this.#state.callMs,
      leftMs: Math.max(1, callTimeMs(this.#state, time)),
      signal: AbortSignal.any([context.signal, this.#stopped.signal]),
    });
    this.#state = afterCall(this.#state, task, outcome, this.#time().now - time.now);
    this.#news.resolve();
    // No slot stays idle while the results are written.
    this.#beginCalls();
  }

  async #beat(): Promise<void> {
    const { context, steps } = this.#world;
    try {
      const status = await steps.heartbeat(this.#batchJobId);
      if (isOver(status)) {
        this.#state = afterHeartbeat(this.#state, status);
        this.#stopped.abort();
        this.#news.resolve();
      }
    } catch (error) {
      context.log.warn("cannot report the heartbeat", { error: errorMessage(error) });
    }
  }
}
