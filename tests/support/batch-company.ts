/** What other processors, other batch jobs and people do to a batch job while a run of the processor works on it. */
import type { Result } from "../../supabase/functions/robust-batch-processor/steps.ts";
import type { MadeUpBatchJob } from "./made-up-batch-job.ts";
import type { Random } from "./random.ts";

const outcomes = ["answered", "answered", "refused", "unusable", "failed", "waiting", "cut"];

export class BatchCompany {
  readonly #job: MadeUpBatchJob;
  readonly #random: Random;
  /** What other processors hold, by their tokens. */
  readonly #others = new Map<string, Result[]>();

  constructor(job: MadeUpBatchJob, random: Random) {
    this.#job = job;
    this.#random = random;
  }

  /** Does one thing, and says what. */
  act(): string {
    const random = this.#random;
    if (random.chance(0.003)) return this.#end();
    return random.pick([
      () => this.#otherClaims(),
      () => this.#otherClaims(),
      () => this.#otherReports(),
      () => this.#otherReports(),
      () => this.#otherGivesBack(),
      () => this.#breakerMoves(),
      () => this.#personChangesProvider(),
      () => this.#otherJobCalls(),
      () => this.#promptIsDeleted(),
    ])();
  }

  /** The run is not heard of until its lease has ended, and another processor claims. */
  takeLease(token: string): string {
    this.#job.expireLease(token);
    return `the lease is lost; ${this.#otherClaims()}`;
  }

  #end(): string {
    const status = this.#random.pick(["cancelled", "unknown"] as const);
    this.#job.endNow(status);
    return `the batch job is ${status}`;
  }

  #otherClaims(): string {
    const token = `other ${this.#random.whole(1, 3)}`;
    const claimed = this.#job.claim(token, {}, this.#random.pick([1, 5, 100]));
    const results = claimed.tasks.map(({ id, answerer, problem }) =>
      this.#result(id, answerer, problem)
    );
    this.#others.set(token, [...this.#others.get(token) ?? [], ...results]);
    return `${token} claims ${results.map(({ id }) => id)}`;
  }

  #result(id: number, answerer: string | null, problem: string | null): Result {
    if (answerer === null || problem !== null) {
      return { id, outcome: answerer === null ? "unusable" : "refused", reason: problem ?? "" };
    }
    const outcome = this.#random.pick(outcomes) as Result["outcome"];
    return { id, answerer, outcome, answer: "An answer.", model: "m" };
  }

  #otherReports(): string {
    for (const [token, results] of this.#others) {
      this.#others.delete(token);
      this.#job.finish(token, results);
      return `${token} reports ${results.map(({ id, outcome }) => `${id} ${outcome}`)}`;
    }
    return "nothing";
  }

  #otherGivesBack(): string {
    for (const token of this.#others.keys()) {
      this.#others.delete(token);
      return `${token} gives back ${this.#job.release(token)}`;
    }
    return "nothing";
  }

  #breakerMoves(): string {
    const provider = this.#random.pick([...this.#job.providers.values()]);
    const forMs = this.#random.pick([null, 0, 1_000, 30_000]);
    provider.openUntil = forMs === null ? null : this.#job.now() + forMs;
    provider.failuresInRow = this.#random.whole(0, 6);
    return `the breaker of ${provider.name} is set, for ${forMs} ms`;
  }

  #personChangesProvider(): string {
    const provider = this.#random.pick([...this.#job.providers.values()]);
    provider.concurrency = this.#random.whole(1, 5);
    provider.enabled = this.#random.chance(0.8);
    return `${provider.name} has ${provider.concurrency} slots, enabled: ${provider.enabled}`;
  }

  #otherJobCalls(): string {
    const provider = this.#random.pick([...this.#job.providers.values()]);
    provider.callsElsewhere = this.#random.whole(0, 4);
    return `other batch jobs have ${provider.callsElsewhere} slots of ${provider.name}`;
  }

  #promptIsDeleted(): string {
    if (this.#random.chance(0.9)) return "nothing";
    const id = this.#random.whole(1, 40);
    this.#job.deleteTask(id);
    return `the prompt of task ${id} is deleted`;
  }
}
