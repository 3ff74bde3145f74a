/**
 * A batch job as the database has it, for tests that need many runs of the processor and no database: what
 * supabase/sql/batches/claim.sql, finish.sql and lease.sql do. Prompts are short, so their bytes never limit a claim,
 * and no other batch job waits for slots.
 */
import type {
  Claimed,
  Finished,
  Result,
} from "../../supabase/functions/robust-batch-processor/steps.ts";
import {
  type BreakerSettings,
  breakerState,
  type MadeUpProvider,
  recordNews,
  routes,
} from "./made-up-breakers.ts";
import {
  calledProviders,
  type MadeUpTask,
  moreOf,
  nextAtOf,
  type Part,
  roomOf,
} from "./made-up-claim.ts";

/** See batches.settings. */
export interface BatchSettings extends BreakerSettings {
  call_timeout_seconds: number;
  heartbeat_seconds: number;
  lease_seconds: number;
  max_attempts: number;
  max_failures: number;
  retry_seconds: number;
  wait_hours: number;
}

/** A row of batches.calls. */
interface Call {
  readonly answerer: string;
  /** It tries whether a provider is back. */
  readonly tries: boolean;
}

interface Lease {
  until: number;
  /** The tasks by their ids; null for one that was given only to be reported. */
  readonly calls: Map<number, Call | null>;
}

export class MadeUpBatchJob {
  status = "pending";
  completed = 0;
  failed = 0;
  /** Open tasks, in the order of their ids. */
  readonly #tasks: Map<number, MadeUpTask>;
  readonly #leases = new Map<string, Lease>();
  readonly #total: number;

  /** @param now Milliseconds since 1970. */
  constructor(
    tasks: readonly MadeUpTask[],
    readonly providers: ReadonlyMap<string, MadeUpProvider>,
    readonly settings: BatchSettings,
    readonly createdAt: number,
    readonly now: () => number,
  ) {
    this.#tasks = new Map(tasks.map((task) => [task.id, task]));
    this.#total = tasks.length;
  }

  get isOver(): boolean {
    return this.status !== "pending" && this.status !== "running";
  }

  /** Tasks that have not ended, and those of deleted prompts. */
  get open(): number {
    return this.status === "unknown" ? 0 : this.#total - this.completed - this.failed;
  }

  get failsAt(): number {
    return this.createdAt + this.settings.wait_hours * 3_600_000;
  }

  leased(token: string): number[] {
    return [...this.#leases.get(token)?.calls.keys() ?? []];
  }

  /** See batches.claim_tasks. */
  claim(token: string, busy: Readonly<Record<string, number>>, limit = 100): Claimed {
    const nothing: Claimed = {
      status: this.status,
      ended: false,
      tasks: [],
      providers: {},
      more: [],
      next_in_ms: null,
      open: 0,
      settings: this.settings,
    };
    if (this.isOver) return nothing;
    this.#extendLease(token);
    this.#freeExpiredLeases();
    const parts = this.#gather(token, busy, limit);
    const nextInMs = this.#nextInMs(token, parts, limit);
    this.#lease(token, parts);
    this.status = "running";
    const tasks = parts.flatMap((part) => part.taken.map((task) => this.#describe(task, part)));
    if (tasks.length === 0) this.#endWhenDone();
    return {
      ...nothing,
      status: this.status,
      ended: this.isOver,
      tasks,
      providers: calledProviders(parts),
      more: moreOf(parts, this.now()),
      next_in_ms: nextInMs,
      open: this.open,
    };
  }

  /** See batches.finish_tasks. */
  finish(token: string, results: readonly Result[]): Finished {
    const wasOver = this.isOver;
    const leased = this.#leases.get(token)?.calls ?? new Map<number, Call | null>();
    const accepted = results.filter(({ id }) => leased.has(id) && this.#tasks.has(id));
    const answered = accepted.filter(({ outcome }) => outcome === "answered");
    for (const { id } of answered) this.#tasks.delete(id);
    let failed = 0;
    for (const result of accepted) {
      if (result.outcome !== "answered" && this.#fails(this.#tasks.get(result.id)!, result)) {
        this.#tasks.delete(result.id);
        failed++;
      }
    }
    recordNews(this.providers, accepted, this.settings, this.now());
    this.#shortenLease(token, accepted.map(({ id }) => id));
    if (!wasOver) {
      this.completed += answered.length;
      this.failed += failed;
      if (this.open === 0 || this.#leases.size === 0) this.#endWhenDone();
    }
    return {
      accepted: accepted.length,
      refused: results.length - accepted.length,
      completed: answered.length,
      failed,
      status: this.status,
      ended: !wasOver && this.isOver,
      open: this.open,
      open_breakers: [...this.providers.values()].flatMap((provider) =>
        breakerState(provider, this.now()) === "open" ? provider.name : []
      ),
    };
  }

  /** See batches.release_tasks. */
  release(token: string, ids: readonly number[] = this.leased(token)): number {
    if (this.isOver) return 0;
    const released = this.leased(token).filter((id) => ids.includes(id));
    this.#shortenLease(token, released);
    return released.length;
  }

  /** See batches.heartbeat_job. */
  heartbeat(token: string): string {
    if (!this.isOver) this.#extendLease(token);
    return this.status;
  }

  /** A person cancels it; or it is deleted: "unknown". */
  endNow(status: "cancelled" | "unknown"): void {
    if (this.isOver) return;
    this.status = status;
    this.#tasks.clear();
    this.#leases.clear();
  }

  /** A prompt is deleted, and its task with it. */
  deleteTask(id: number): void {
    this.#tasks.delete(id);
  }

  /** The token's holder is not heard of for as long as its lease lasts. */
  expireLease(token: string): void {
    const lease = this.#leases.get(token);
    if (lease !== undefined) lease.until = this.now();
  }

  #extendLease(token: string): void {
    const lease = this.#leases.get(token);
    if (lease !== undefined) lease.until = Math.max(lease.until, this.#leasedUntil());
  }

  #leasedUntil(): number {
    return this.now() + this.settings.lease_seconds * 1000;
  }

  #freeExpiredLeases(): void {
    for (const [token, { until, calls }] of this.#leases) {
      if (until > this.now()) continue;
      this.#leases.delete(token);
      for (const id of calls.keys()) {
        const task = this.#tasks.get(id);
        if (task !== undefined) task.attempts++;
      }
    }
  }

  /** See batches.gather_tasks. */
  #gather(token: string, busy: Readonly<Record<string, number>>, limit: number): Part[] {
    const now = this.now();
    const leased = new Set([...this.#leases.values()].flatMap(({ calls }) => [...calls.keys()]));
    const parts = this.#parts(token, busy);
    for (const [place, part] of parts.entries()) {
      part.room = roomOf(part, parts.slice(0, place), limit);
      const free = [...this.#tasks.values()].filter(({ id, provider, asksFallback }) =>
        provider === part.provider && asksFallback === part.asksFallback && !leased.has(id)
      );
      const isDue = ({ runAfter }: MadeUpTask) => runAfter <= now || part.problem !== null;
      part.taken = free.filter(isDue).slice(0, part.room);
      for (const { id } of part.taken) leased.add(id);
      const rest = free.filter(({ id }) => !leased.has(id));
      if (rest.length > 0) {
        part.restAt = rest.some(isDue) ? now : Math.min(...rest.map(({ runAfter }) => runAfter));
      }
    }
    return parts;
  }

  /** See batches.claim_parts. */
  #parts(token: string, busy: Readonly<Record<string, number>>): Part[] {
    const now = this.now();
    const tried = this.#calls().flatMap(({ answerer, tries }) => tries ? answerer : []);
    return routes(this.providers, new Set(tried), this.settings, now).map((route) => {
      const { answerer } = route;
      const problem = answerer === null && this.failsAt <= now
        ? `down for ${this.settings.wait_hours} hours`
        : null;
      const nothingYet = { taken: [], room: 0, restAt: null, problem: route.problem ?? problem };
      if (answerer === null) return { ...route, ...nothingYet, held: 0, slots: Infinity };
      const own = this.#calls(token).filter((call) => call.answerer === answerer.name).length;
      const all = this.#calls().filter((call) => call.answerer === answerer.name).length;
      const held = Math.max(busy[answerer.name] ?? 0, own);
      const slots = Math.min(
        answerer.concurrency - held,
        Math.max(0, answerer.concurrency - all - answerer.callsElsewhere),
      );
      return { ...route, ...nothingYet, held, slots };
    });
  }

  /** Calls under way, of that token or of all. */
  #calls(token?: string): Call[] {
    const leases = [...this.#leases].filter(([holder, { until }]) =>
      token === undefined ? until > this.now() : holder === token
    );
    return leases.flatMap(([, { calls }]) => [...calls.values()].flatMap((call) => call ?? []));
  }

  /** See batches.claim_outcome. */
  #nextInMs(token: string, parts: readonly Part[], limit: number): number | null {
    const now = this.now();
    const others = [...this.#leases].flatMap(([holder, { until }]) =>
      holder === token ? [] : Math.max(until, now + 1_000)
    );
    const nextAt = Math.min(nextAtOf(parts, limit, now), ...others);
    if (nextAt === Infinity) return null;
    return (this.failsAt > now ? Math.min(nextAt, this.failsAt) : nextAt) - now;
  }

  /** See batches.record_claim. */
  #lease(token: string, parts: readonly Part[]): void {
    const calls = parts.flatMap((part) =>
      part.taken.map((task): [number, Call | null] => {
        const isCalled = this.#problem(task, part) === null && part.answerer !== null;
        return [
          task.id,
          isCalled ? { answerer: part.answerer!.name, tries: part.isHalfOpen } : null,
        ];
      })
    );
    if (calls.length === 0) return;
    const before = this.#leases.get(token);
    this.#leases.set(token, {
      until: before?.until ?? this.#leasedUntil(),
      calls: new Map([...before?.calls ?? [], ...calls]),
    });
  }

  /** See batches.read_tasks. */
  #problem(task: MadeUpTask, { answerer, problem }: Part): string | null {
    if (answerer === null) return problem;
    if (task.attempts >= this.settings.max_attempts) return "given up";
    return task.isTooLong ? "prompt too long" : null;
  }

  #describe(task: MadeUpTask, part: Part): Claimed["tasks"][number] {
    const problem = this.#problem(task, part);
    const prompt = problem === null ? "Question?" : null;
    return { id: task.id, answerer: part.answerer?.name ?? null, prompt, problem };
  }

  /** See batches.task_after: changes the task after a result that is no answer. Returns whether it has failed. */
  #fails(task: MadeUpTask, { outcome, answerer, wait_seconds, provider_is_down }: Result): boolean {
    const { max_failures, retry_seconds, open_seconds } = this.settings;
    const now = this.now();
    if (outcome === "refused" || outcome === "waiting" && this.failsAt <= now) return true;
    task.runAfter = 0;
    if (outcome === "cut") {
      task.attempts++;
      return false;
    }
    if (outcome === "waiting") {
      const seconds = Math.min(wait_seconds ?? open_seconds, open_seconds);
      if (!provider_is_down) task.runAfter = Math.min(this.failsAt, now + seconds * 1000);
      return false;
    }
    const byStandIn = !task.asksFallback && answerer !== undefined && answerer !== task.provider;
    task.attempts++;
    task.failures++;
    if ((outcome === "failed" || byStandIn) && task.failures < max_failures) {
      task.runAfter = now + retry_seconds * 1000 * 2 ** Math.min(task.failures - 1, 10);
      return false;
    }
    const fallback = this.providers.get(this.providers.get(task.provider)!.fallback ?? "");
    if (fallback?.enabled !== true || task.asksFallback) return true;
    task.asksFallback = true;
    task.failures = 0;
    return false;
  }

  #shortenLease(token: string, ids: readonly number[]): void {
    const lease = this.#leases.get(token);
    if (lease === undefined) return;
    for (const id of ids) lease.calls.delete(id);
    if (lease.calls.size === 0) this.#leases.delete(token);
  }

  /** See batches.end_job_when_done. */
  #endWhenDone(): void {
    if (this.isOver || this.#tasks.size > 0) return;
    this.#leases.clear();
    if (this.completed === this.#total) this.status = "completed";
    else this.status = this.completed > 0 ? "partial" : "failed";
  }
}
