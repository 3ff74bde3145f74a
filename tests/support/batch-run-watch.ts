import type { JsonObject } from "../../shared/job/define-job.ts";
import type {
  Claimed,
  Finished,
  Provider,
  Result,
  Task,
} from "../../supabase/functions/robust-batch-processor/steps.ts";
import type { MadeUpBatchJob } from "./made-up-batch-job.ts";
import { breakerState } from "./made-up-breakers.ts";

/** What a run keeps free at its end for writing results. */
const reserveMs = 5_000;
const shortestCallMs = 10_000;
/** How long a run waits for news at most. */
const longestIdleMs = 5_000;
/** How long the steps take that may be under way, and those at the end of a run. */
const stepsMs = 3_000;

export interface WatchedRun {
  readonly job: MadeUpBatchJob;
  readonly token: string;
  readonly maxTasks: number;
  /** Milliseconds since 1970. */
  readonly deadline: number;
  /** Other processors and people work on the batch job, too. */
  readonly hasCompany: boolean;
  /** Leases and replies get lost. */
  readonly hasLosses: boolean;
}

/** Watches a run of the processor from outside, and says where it does what it must not. */
export class BatchRunWatch {
  readonly faults: string[] = [];
  readonly events: string[] = [];
  readonly #run: WatchedRun;
  /** Tasks that the run was given, and has neither reported nor given back. */
  readonly #held = new Set<number>();
  /** Calls under way: the answerer by the task. */
  readonly #calls = new Map<number, string>();
  /** Answerers whose breakers may not know yet that they failed: by the task whose call did. */
  readonly #failed = new Map<number, string>();
  readonly #concurrency = new Map<string, number>();
  readonly #told = { claimed: 0, answered: 0, failed: 0, lost: 0, isOver: false };
  readonly #continuesAt: number[] = [];
  /** When the last calls ended whose results are not reported, by their tasks. */
  readonly #callEnds = new Map<number, number>();
  /** From when on another claim makes sense. */
  #claimsAgainAt = 0;
  /** When a heartbeat said that the batch job is over, which ends calls at once. */
  #callsEndAt = Infinity;
  #hasCalled = false;
  #hasEnded = false;

  constructor(run: WatchedRun) {
    this.#run = run;
  }

  note(event: string): void {
    this.events.push(`${this.#ms(this.#now)} ms ${event}`);
  }

  stepBegins(step: string): void {
    if (this.#hasEnded) this.#fault(`${step} after the run's end`);
  }

  claims(): void {
    this.#mustNotBeOver("claims");
    const earlyMs = this.#claimsAgainAt - this.#now;
    if (earlyMs > 0) this.#fault(`claims again ${earlyMs} ms before anything is new`);
  }

  claimed(claimed: Claimed): void {
    this.#claimsAgainAt = this.#now + Math.min(claimed.next_in_ms ?? Infinity, longestIdleMs);
    for (const { id } of claimed.tasks) this.#held.add(id);
    for (const [name, { concurrency }] of Object.entries(claimed.providers)) {
      this.#concurrency.set(name, concurrency);
    }
    this.#told.claimed += claimed.tasks.length;
    this.#hearsStatus(claimed.status);
  }

  callBegins(task: Task, provider: Provider, limits: { timeoutMs: number; leftMs: number }): void {
    const { job, token, maxTasks, deadline, hasLosses } = this.#run;
    const { id, answerer } = task;
    const { timeoutMs, leftMs } = limits;
    this.note(`calls ${answerer} for task ${id}`);
    if (this.#calls.has(id)) this.#fault(`calls task ${id} twice at once`);
    this.#calls.set(id, answerer);
    this.#hasCalled = true;
    const atOnce = [...this.#calls.values()].filter((each) => each === answerer).length;
    const remainingMs = deadline - this.#now;
    const ended = this.#told.answered + this.#told.failed;
    const callMs = job.settings.call_timeout_seconds * 1000;
    const must: [holds: boolean, fault: string][] = [
      [!this.#hasEnded, "after the run's end"],
      [!this.#told.isOver, "of a batch job that is over"],
      [remainingMs > 0, "after the deadline"],
      [leftMs >= Math.min(shortestCallMs, callMs), `with ${leftMs} ms left`],
      [leftMs <= remainingMs - Math.min(reserveMs, callMs), "without time to write its result"],
      [timeoutMs === callMs, `with a timeout of ${timeoutMs} ms`],
      [atOnce <= (this.#concurrency.get(answerer) ?? 0), `of ${answerer} as number ${atOnce}`],
      [provider.model === `model-of-${answerer}`, `with ${provider.model} of ${answerer}`],
      [![...this.#failed.values()].includes(answerer), `of ${answerer}, which has just failed`],
      [this.#held.has(id), "that was reported or given back"],
      [hasLosses || job.isOver || job.leased(token).includes(id), "that is not leased"],
      [ended < maxTasks, "after maxTasks"],
    ];
    for (const [holds, fault] of must) if (!holds) this.#fault(`calls task ${id} ${fault}`);
  }

  callEnds({ id, answerer }: Task, outcome: Result["outcome"]): void {
    this.note(`task ${id} ${outcome}`);
    this.#calls.delete(id);
    this.#callEnds.set(id, this.#now);
    if (this.#now > this.#callsEndAt) {
      this.#fault(`still calls task ${id} of a batch job that is over`);
    }
    if (outcome === "failed" || outcome === "waiting") this.#failed.set(id, answerer);
  }

  reports(results: readonly Result[]): void {
    for (const { id } of results) {
      if (this.#calls.has(id)) this.#fault(`reports task ${id} while it is called`);
      if (!this.#held.delete(id)) this.#fault(`reports task ${id}, which it has not`);
      const lateMs = this.#now - (this.#callEnds.get(id) ?? this.#now);
      if (lateMs > stepsMs) this.#fault(`reports task ${id} ${lateMs} ms after its call`);
      this.#callEnds.delete(id);
    }
  }

  finished(results: readonly Result[], finished: Finished): void {
    for (const { id } of results) this.#failed.delete(id);
    this.#claimsAgainAt = this.#now;
    this.#told.answered += finished.completed;
    this.#told.failed += finished.failed;
    this.#told.lost += finished.refused;
    this.#hearsStatus(finished.status);
  }

  /** @param ids Without them all that it leases. */
  releases(ids: readonly number[] = [...this.#held]): void {
    this.#mustNotBeOver("gives back");
    this.#claimsAgainAt = this.#now;
    for (const id of ids) {
      if (this.#calls.has(id)) this.#fault(`gives back task ${id} while it is called`);
      if (!this.#held.delete(id)) this.#fault(`gives back task ${id}, which it has not`);
    }
  }

  heartbeat(status: string): void {
    this.#hearsStatus(status);
    if (status !== "running") this.#callsEndAt = Math.min(this.#callsEndAt, this.#now);
  }

  waits(ms: number): void {
    if (!(ms >= 0 && ms < Infinity)) this.#fault(`waits ${ms} ms`);
  }

  continuesAt(at: number): void {
    this.#mustNotBeOver("has the next run called");
    const { job, deadline } = this.#run;
    const callMs = job.settings.call_timeout_seconds * 1000;
    const hasTime = deadline - this.#now - Math.min(reserveMs, callMs) >=
      Math.min(shortestCallMs, callMs);
    if (!this.#hasCalled && !hasTime && at <= deadline) {
      this.#fault("has the next run called at once, for which there is as little time");
    }
    this.#continuesAt.push(at);
  }

  /** @param result Null when a step threw, which ends a run at once. */
  ends(result: JsonObject | null): void {
    this.#hasEnded = true;
    const { job, token, deadline, hasLosses } = this.#run;
    if (this.#calls.size > 0) this.#fault(`ends during calls of ${[...this.#calls.keys()]}`);
    const lateMs = this.#now - deadline;
    if (lateMs > stepsMs) this.#fault(`ends ${lateMs} ms after its deadline`);
    if (result === null) return;
    this.#checkFigures(result);
    const times = this.#continuesAt.length;
    if (times !== 1 && !(times === 0 && job.isOver)) {
      this.#fault(`has the next run called ${times} times`);
    }
    if (job.isOver) return;
    const leased = job.leased(token);
    if (leased.length > 0) this.#fault(`ends with leases of ${leased}`);
    if (!hasLosses && this.#held.size > 0) this.#fault(`forgets ${[...this.#held]}`);
    if (!this.#run.hasCompany) this.#checkNextRun();
  }

  #checkFigures(result: JsonObject): void {
    const { job, hasCompany, hasLosses } = this.#run;
    const { claimed, answered, failed, lost } = this.#told;
    const must: Record<string, unknown> = { answered, failed, lost };
    if (!hasCompany) Object.assign(must, { status: job.status, open: job.open });
    if (!hasLosses && !job.isOver) must.givenBack = claimed - answered - failed - lost;
    for (const [name, value] of Object.entries(must)) {
      if (result[name] !== value) this.#fault(`says ${name} ${result[name]}, and it is ${value}`);
    }
  }

  /** The next run must come as soon as it has something to do, or when this worker's time is over. */
  #checkNextRun(): void {
    const { job, deadline } = this.#run;
    const now = this.#now;
    // Of a half-open provider a claim says when to look again, and not whether it has tasks for somebody else.
    const isTried = [...job.providers.values()].some((provider) =>
      breakerState(provider, now) === "half-open"
    );
    const { tasks, next_in_ms } = job.claim("the next run", {});
    // Tasks that are to fail need not do so at once.
    if (tasks.some(({ problem }) => problem !== null)) return;
    const soon = tasks.length > 0 ? now : now + (next_in_ms ?? 0);
    const latest = (this.#hasCalled ? soon : Math.max(soon, deadline)) +
      (isTried ? longestIdleMs : 1_000);
    for (const at of this.#continuesAt) {
      if (at > latest) this.#fault(`has the next run called ${at - latest} ms too late`);
    }
  }

  #mustNotBeOver(step: string): void {
    if (this.#told.isOver) this.#fault(`${step} when the batch job is over`);
  }

  #hearsStatus(status: string): void {
    if (status !== "running") this.#told.isOver = true;
  }

  #fault(fault: string): void {
    this.note(`FAULT ${fault}`);
    this.faults.push(fault);
  }

  get #now(): number {
    return this.#run.job.now();
  }

  /** Time is told from the deadline. */
  #ms(at: number): number {
    return at - this.#run.deadline;
  }
}
