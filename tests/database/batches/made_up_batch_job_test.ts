import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addBatch, addProvider, set } from "../../support/batch.ts";
import { withDatabase } from "../../support/database.ts";
import { type BatchSettings, MadeUpBatchJob } from "../../support/made-up-batch-job.ts";
import type { MadeUpProvider } from "../../support/made-up-breakers.ts";
import type { MadeUpTask } from "../../support/made-up-claim.ts";
import { type Random, seededRandom } from "../../support/random.ts";
import { NOON } from "../../support/scheduler.ts";
import type {
  Claimed,
  Finished,
  Result,
} from "../../../supabase/functions/robust-batch-processor/steps.ts";

const SEED = Number(Deno.env.get("DAYBOOK_BATCH_SEED") ?? 20260312);
const ROUNDS = 150;
const tokens: string[] = [crypto.randomUUID(), crypto.randomUUID()];
const settings: BatchSettings = {
  call_timeout_seconds: 120,
  heartbeat_seconds: 10,
  lease_seconds: 60,
  max_attempts: 6,
  max_failures: 3,
  retry_seconds: 10,
  failures_to_open: 2,
  open_seconds: 20,
  wait_hours: 1,
};
const fallbacks = { a: "b", b: "c", c: null };

/** The same batch job in the database and made up. */
class Pair {
  now = NOON.getTime();
  readonly #sql: Sql;
  readonly #random: Random;
  readonly #id: string;
  readonly #madeUp: MadeUpBatchJob;
  /** What a token was given and has not reported. */
  readonly #given = new Map(tokens.map((token) => [token, new Map<number, string | null>()]));

  constructor(sql: Sql, random: Random, id: string, tasks: MadeUpTask[]) {
    this.#sql = sql;
    this.#random = random;
    this.#id = id;
    const providers = Object.entries(fallbacks).map(([name, fallback]): MadeUpProvider => ({
      name,
      fallback,
      concurrency: 3,
      enabled: true,
      openUntil: null,
      failuresInRow: 0,
      callsElsewhere: 0,
    }));
    const byName = new Map(providers.map((provider) => [provider.name, provider]));
    this.#madeUp = new MadeUpBatchJob(tasks, byName, settings, this.now, () => this.now);
  }

  get isOver(): boolean {
    return this.#madeUp.isOver;
  }

  async act(): Promise<string> {
    const random = this.#random;
    this.now += random.pick([0, 500, 3_000, 3_000, 20_000, 65_000]);
    const token = random.pick(tokens);
    const verb = random.pick([
      ...["claims", "claims", "claims", "reports", "reports", "reports"],
      ...["gives back", "heartbeat", "provider"],
    ]);
    if (verb === "claims") await this.#claims(token);
    else if (verb === "reports") await this.#reports(token);
    else if (verb === "gives back") await this.#givesBack(token);
    else if (verb === "heartbeat") await this.#heartbeat(token);
    else await this.#changeProvider();
    return verb;
  }

  async #claims(token: string): Promise<void> {
    const busy = this.#random.pick([{}, { a: 1 }, { b: 1_000_000 }]);
    const limit = this.#random.pick([1, 4, 100]);
    const told = await this.#call<Claimed>("claim_tasks($1, $2, $3, $4, $5::text::jsonb, $6)", [
      token,
      limit,
      settings.lease_seconds,
      JSON.stringify(busy),
    ]);
    assert.deepEqual(essence(told), essence(this.#madeUp.claim(token, busy, limit)));
    const given = this.#given.get(token)!;
    for (const { id, answerer } of told.tasks) given.set(id, answerer);
  }

  async #reports(token: string): Promise<void> {
    const given = this.#given.get(token)!;
    const results = [...given].filter(() => this.#random.chance(0.6)).map(([id, answerer]) =>
      this.#result(id, answerer)
    );
    for (const { id } of results) given.delete(id);
    const told = await this.#call<Finished>("finish_tasks($1, $2, $3::text::jsonb, $4)", [
      token,
      JSON.stringify(results),
    ]);
    const inOrder = { ...told, open_breakers: told.open_breakers.toSorted() };
    assert.deepEqual(inOrder, this.#madeUp.finish(token, results));
  }

  #result(id: number, answerer: string | null): Result {
    if (answerer === null) return { id, outcome: "unusable", reason: "down" };
    const trouble = this.#random.pick<Omit<Result, "id" | "answerer">>([
      { outcome: "failed" },
      { outcome: "failed" },
      { outcome: "unusable" },
      { outcome: "unusable", provider_answered: true },
      { outcome: "refused" },
      { outcome: "cut" },
      { outcome: "waiting" },
      { outcome: "waiting", wait_seconds: this.#random.pick([1, 30, 4_000]) },
      { outcome: "waiting", wait_seconds: 30, provider_is_down: true },
    ]);
    return this.#random.chance(0.3)
      ? { id, answerer, outcome: "answered", answer: "An answer.", model: "m" }
      : { id, answerer, reason: "a reason", ...trouble };
  }

  async #givesBack(token: string): Promise<void> {
    const given = this.#given.get(token)!;
    const all = this.#random.chance(0.5);
    const ids = [...given.keys()].filter(() => all || this.#random.chance(0.5));
    for (const id of ids) given.delete(id);
    const told = await this.#call("release_tasks($1, $2, $3::bigint[], $4)", [
      token,
      all ? null : ids,
    ]);
    assert.equal(told, this.#madeUp.release(token, all ? undefined : ids));
  }

  async #heartbeat(token: string): Promise<void> {
    const told = await this.#call<{ status: string; held: number }>(
      "heartbeat_job($1, $2, $3, $4)",
      [token, settings.lease_seconds],
    );
    assert.deepEqual(told, {
      status: this.#madeUp.heartbeat(token),
      held: this.#madeUp.leased(token).length,
    });
  }

  async #changeProvider(): Promise<void> {
    const provider = this.#random.pick([...this.#madeUp.providers.values()]);
    provider.concurrency = this.#random.whole(1, 4);
    provider.enabled = this.#random.chance(0.8);
    await this.#sql`update batch_providers set concurrency = ${provider.concurrency},
      enabled = ${provider.enabled} where name = ${provider.name}`;
  }

  async #call<T>(expression: string, args: unknown[]): Promise<T> {
    const [row] = await this.#sql.unsafe<{ told: T }[]>(
      `select batches.${expression} as told`,
      [this.#id, ...args, new Date(this.now)] as never[],
    );
    return row!.told;
  }
}

/** What of a claim both say in the same words. */
function essence({ settings: _, tasks, providers, ...told }: Claimed) {
  return {
    ...told,
    tasks: tasks.map(({ id, answerer, problem }) => [id, answerer, problem !== null]),
    providers: Object.entries(providers).sort().map((
      [name, { concurrency, half_open }],
    ) => [name, concurrency, half_open]),
  };
}

async function pair(sql: Sql, random: Random): Promise<Pair> {
  for (const name of Object.keys(fallbacks)) {
    await addProvider(sql, name, { concurrency: 3, max_prompt_characters: 20 });
  }
  for (const [name, fallback] of Object.entries(fallbacks)) {
    await sql`update batch_providers set fallback_provider = ${fallback} where name = ${name}`;
  }
  const { heartbeat_seconds: _, call_timeout_seconds: __, ...others } = settings;
  await set(sql, others);
  const prompts = Array.from({ length: 15 }, (_, i) => i === 7 ? "?".repeat(21) : `Question ${i}?`);
  const id = await addBatch(sql, prompts, Object.keys(fallbacks), NOON);
  const rows = await sql<{ id: string; provider: string; length: number }[]>`
    select batch_tasks.id, provider, length(text) from batch_tasks
    join prompts on prompts.id = prompt_id where job_id = ${id} order by batch_tasks.id`;
  const tasks = rows.map(({ id, provider, length }): MadeUpTask => ({
    id: Number(id),
    provider,
    isTooLong: length > 20,
    asksFallback: false,
    runAfter: 0,
    attempts: 0,
    failures: 0,
  }));
  return new Pair(sql, random, id, tasks);
}

for (let seed = SEED; seed < SEED + 6; seed++) {
  Deno.test(`a made-up batch job says what the database says, at random with seed ${seed}`, () =>
    withDatabase(async ({ sql }) => {
      const both = await pair(sql, seededRandom(seed));
      const done: string[] = [];
      for (let round = 0; round < ROUNDS && !both.isOver; round++) {
        try {
          done.push(await both.act());
        } catch (error) {
          throw new Error(`after ${done.length} acts, the last: ${done.slice(-8)}`, {
            cause: error,
          });
        }
      }
      assert.ok(done.length > 30, `the batch job was over after ${done.length} acts`);
    }));
}
