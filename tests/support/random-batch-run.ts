/** A run of the processor in simulated time, with a made-up database and made-up providers. A seed repeats it. */
import type { JobContext, JsonObject } from "../../shared/job/define-job.ts";
import { atMost } from "../../shared/at-most.ts";
import { PermanentError } from "../../shared/job/errors.ts";
import type {
  Outcome,
  Providers,
} from "../../supabase/functions/robust-batch-processor/call-provider.ts";
import { processBatch } from "../../supabase/functions/robust-batch-processor/process.ts";
import type { Steps } from "../../supabase/functions/robust-batch-processor/steps.ts";
import { BatchCompany } from "./batch-company.ts";
import { BatchRunWatch } from "./batch-run-watch.ts";
import { FakeClock } from "./fake-clock.ts";
import { jobContext } from "./job-context.ts";
import { type BatchSettings, MadeUpBatchJob } from "./made-up-batch-job.ts";
import type { MadeUpProvider } from "./made-up-breakers.ts";
import { quietRandom, type Random } from "./random.ts";

/** Whether others work on the batch job, too, and whether leases and replies get lost besides. */
export type Circumstances = "alone" | "in company" | "with losses";

const token = "the run";
const batchJobId = "00000000-0000-4000-8000-000000000002";

/** How a provider behaves. */
interface Behaviour {
  slowMs: number;
  troubles: number;
}

/** The database cannot be reached, and a step was tried again in vain. */
class DatabaseGoneError extends Error {}

/** Has one run work, and returns what watched it. */
export async function randomBatchRun(
  seed: number,
  circumstances: Circumstances,
): Promise<BatchRunWatch> {
  const run = new RandomBatchRun(quietRandom(seed), circumstances);
  await run.work();
  return run.watch;
}

class RandomBatchRun {
  readonly watch: BatchRunWatch;
  readonly #random: Random;
  readonly #clock = new FakeClock();
  readonly #stopped = new AbortController();
  readonly #deadline: number;
  readonly #maxTasks: number;
  readonly #hasCompany: boolean;
  readonly #hasLosses: boolean;
  readonly #job: MadeUpBatchJob;
  readonly #company: BatchCompany;
  readonly #behaviours: ReadonlyMap<string, Behaviour>;

  constructor(random: Random, circumstances: Circumstances) {
    this.#random = random;
    this.#hasCompany = circumstances !== "alone";
    this.#hasLosses = circumstances === "with losses";
    this.#deadline = this.#clock.now() +
      random.pick([12_000, 30_000, 60_000, 150_000, 300_000]);
    this.#maxTasks = random.pick([1, 3, 1_000, 1_000]);
    this.#job = randomBatchJob(random, this.#clock.now);
    this.#company = new BatchCompany(this.#job, random);
    this.#behaviours = new Map([...this.#job.providers.keys()].map((name) => [name, {
      slowMs: random.pick([50, 2_000, 20_000, 100_000]),
      troubles: random.pick([0, 0, 0.2, 0.8]),
    }]));
    this.watch = new BatchRunWatch({
      job: this.#job,
      token,
      maxTasks: this.#maxTasks,
      deadline: this.#deadline,
      hasCompany: this.#hasCompany,
      hasLosses: this.#hasLosses,
    });
  }

  async work(): Promise<void> {
    this.#clock.after(this.#deadline - this.#clock.now(), () => this.#stopped.abort());
    const stopCompany = this.#hasCompany ? this.#keepCompany() : () => {};
    const restoreInterval = takeIntervalFrom(this.#clock);
    try {
      const limits = { latest: this.#deadline + 60_000, most: 1_000 };
      this.watch.ends(await this.#clock.until(this.#processBatch(), limits));
      stopCompany();
      // What the run has left behind would show by now.
      await this.#clock.advance(60_000);
    } catch (error) {
      this.watch.faults.push(error instanceof Error ? error.message : String(error));
    } finally {
      restoreInterval();
    }
  }

  /** Returns null when the run threw what it had to. */
  async #processBatch(): Promise<JsonObject | null> {
    const context: JobContext = {
      ...jobContext({ signal: this.#stopped.signal }),
      now: () => new Date(this.#clock.now()),
      remainingMs: () => Math.max(0, this.#deadline - this.#clock.now()),
    };
    const input = this.#random.chance(0.5) ? { batchJobId } : {};
    try {
      return await processBatch(
        { ...input, maxTasks: this.#maxTasks },
        context,
        this.#steps(),
        this.#providers(),
        (ms, news) => {
          this.watch.waits(ms);
          return atMost(ms, news, this.#clock.after);
        },
      );
    } catch (error) {
      if (error instanceof DatabaseGoneError) return null;
      if (error instanceof PermanentError && this.#job.status === "unknown") return null;
      throw error;
    }
  }

  #steps(): Steps {
    const job = this.#job;
    const watch = this.watch;
    return {
      oldestOpen: () => this.#transact("looks for a batch job", () => batchJobId),
      claim: async (_, busy) => {
        watch.claims();
        const claimed = await this.#transact("claims", () => job.claim(token, busy));
        const { tasks, more, next_in_ms } = claimed;
        const ids = tasks.map(({ id }) => id);
        watch.note(
          `has ${JSON.stringify(busy)}, is given ${ids}, more ${more}, next ${next_in_ms}`,
        );
        watch.claimed(claimed);
        return claimed;
      },
      heartbeat: async () => {
        const status = await this.#transact("sends a heartbeat", () => job.heartbeat(token));
        watch.heartbeat(status);
        return status;
      },
      finish: async (_, results) => {
        watch.reports(results);
        const what = results.map(({ id, outcome }) => `${id} ${outcome}`);
        const finished = await this.#transact(`reports ${what}`, () => job.finish(token, results));
        watch.finished(results, finished);
        return finished;
      },
      release: (_, ids) => {
        watch.releases(ids);
        return this.#transact(`gives back ${ids ?? "all"}`, () => job.release(token, ids));
      },
      continueAt: (_, at) => {
        const inMs = at.getTime() - this.#clock.now();
        watch.continuesAt(at.getTime());
        return this.#transact(`has the next run called in ${inMs} ms`, () => {});
      },
    };
  }

  /** A step takes its time on the way to the database and back. */
  async #transact<T>(step: string, transact: () => T): Promise<T> {
    this.watch.stepBegins(step);
    await this.#clock.sleep(this.#random.pick([0, 0, 1, 5, 50, 500]));
    if (this.#hasLosses && this.#random.chance(0.002)) throw new DatabaseGoneError(step);
    this.watch.note(step);
    if (this.#hasLosses && this.#random.chance(0.02)) {
      this.watch.note("the reply is lost, and the step tried again");
      transact();
    }
    const reply = transact();
    await this.#clock.sleep(this.#random.pick([0, 0, 3, 200]));
    return reply;
  }

  #providers(): Providers {
    return {
      notConfigured: new Set(),
      call: async (task, provider, limits) => {
        this.watch.callBegins(task, provider, limits);
        const outcome = await this.#answer(task.answerer, limits);
        this.watch.callEnds(task, outcome.outcome);
        return outcome;
      },
    };
  }

  #answer(
    name: string,
    { timeoutMs, leftMs, signal }: { timeoutMs: number; leftMs: number; signal: AbortSignal },
  ): Promise<Outcome> {
    const { slowMs, troubles } = this.#behaviours.get(name)!;
    const tookMs = Math.ceil(slowMs * this.#random.whole(50, 150) / 100);
    const outcome: Outcome = this.#random.chance(troubles)
      ? randomTrouble(this.#random)
      : { outcome: "answered", answer: "An answer.", model: "m" };
    return new Promise((resolve) => {
      const end = (ended: Outcome) => {
        cancel();
        resolve(ended);
      };
      const cut = () => end({ outcome: "cut" });
      const cancel = this.#clock.after(Math.min(tookMs, timeoutMs, leftMs), () => {
        if (tookMs < Math.min(timeoutMs, leftMs)) end(outcome);
        else if (leftMs <= timeoutMs) cut();
        else end({ outcome: "failed", reason: `no answer in ${timeoutMs} ms` });
      });
      signal.addEventListener("abort", cut, { once: true });
      if (signal.aborted) cut();
    });
  }

  /** Has the others act at random moments, until the returned function is called. */
  #keepCompany(): () => void {
    let cancel = () => {};
    const actLater = () => {
      cancel = this.#clock.after(this.#random.pick([1, 20, 300, 4_000]), () => {
        const takesLease = this.#hasLosses && this.#random.chance(0.05);
        this.watch.note(takesLease ? this.#company.takeLease(token) : this.#company.act());
        actLater();
      });
    };
    actLater();
    return () => cancel();
  }
}

function randomBatchJob(random: Random, now: () => number): MadeUpBatchJob {
  const names = ["a", "b", "c"].slice(0, random.whole(1, 3));
  const providers = names.map((name): [string, MadeUpProvider] => [name, {
    name,
    fallback: random.pick([null, ...names.filter((other) => other !== name)]),
    concurrency: random.whole(1, 5),
    enabled: random.chance(0.95),
    openUntil: random.pick([null, null, null, now() - 1_000, now() + 20_000]),
    failuresInRow: random.pick([0, 5]),
    callsElsewhere: 0,
  }]);
  const settings: BatchSettings = {
    call_timeout_seconds: random.pick([8, 20, 120, 120]),
    heartbeat_seconds: 10,
    lease_seconds: 60,
    max_attempts: 10,
    max_failures: random.pick([1, 3]),
    retry_seconds: random.pick([2, 30]),
    failures_to_open: random.pick([1, 5]),
    open_seconds: random.pick([5, 60]),
    wait_hours: 6,
  };
  const tasks = Array.from({ length: random.pick([1, 5, 40, 300]) }, (_, place) => ({
    id: place + 1,
    provider: random.pick(names),
    isTooLong: random.chance(0.02),
    asksFallback: false,
    runAfter: 0,
    attempts: random.chance(0.02) ? 10 : 0,
    failures: 0,
  }));
  const ageMs = random.pick([0, 0, 0, 0, 0, 0, 6 * 3_600_000 - 20_000, 7 * 3_600_000]);
  return new MadeUpBatchJob(tasks, new Map(providers), settings, now() - ageMs, now);
}

function randomTrouble(random: Random): Outcome {
  return random.pick<Outcome>([
    { outcome: "failed", reason: "HTTP 500" },
    { outcome: "unusable", reason: "HTTP 404" },
    { outcome: "unusable", reason: "cut", provider_answered: true },
    { outcome: "refused", reason: "HTTP 400" },
    { outcome: "waiting", reason: "HTTP 429" },
    { outcome: "waiting", reason: "HTTP 429", wait_seconds: random.pick([1, 20, 86_400]) },
    { outcome: "waiting", reason: "HTTP 503", wait_seconds: 20, provider_is_down: true },
  ]);
}

/** The heart of a run beats by this clock until the returned function is called. */
function takeIntervalFrom(clock: FakeClock): () => void {
  const { setInterval, clearInterval } = globalThis;
  const cancels: (() => void)[] = [];
  const set = (callback: () => void, ms: number) => cancels.push(clock.every(ms, callback)) - 1;
  const clear = (handle: number) => cancels[handle]?.();
  Object.assign(globalThis, { setInterval: set, clearInterval: clear });
  return () => void Object.assign(globalThis, { setInterval, clearInterval });
}
