import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { addBatch, addProvider, assertBatchesSound, result } from "../../support/batch.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import { timeoutsFire } from "../../support/moments.ts";
import { type Random, seededRandom } from "../../support/random.ts";
import { CRON_SECRET, NOON, PROJECT_URL, setSecret } from "../../support/scheduler.ts";

const SEED = Number(Deno.env.get("DAYBOOK_BATCH_SEED") ?? 20260311);
const PROVIDERS = ["one", "two", "three", "four"];
const OUTCOMES = ["answered", "refused", "unusable", "failed", "waiting", "cut"];
/** After these nothing is open again. */
const ENDS = ["answered", "refused"];
const LEASE_SECONDS = 60;
const WAIT_HOURS = 6;

const later = (seconds: number, from: Date) => new Date(from.getTime() + seconds * 1000);

interface Task {
  id: number;
  answerer: string | null;
  problem: string | null;
}

/** A processor with its token, and what it has been told. */
class Processor {
  readonly token = crypto.randomUUID();
  /** Tasks it was given and has not reported; it may have lost them by now. */
  readonly held = new Map<number, Task>();
  readonly sent: Record<string, unknown>[] = [];
  /** Tasks that no other processor may be given now. */
  #sure = new Set<number>();
  #leasedUntil = new Date(0);
  static #latest = new Date(0);

  constructor(
    readonly jobId: string,
    private readonly ends: { completed: number; failed: number },
  ) {}

  has(id: number): boolean {
    if (this.#leasedUntil <= Processor.#latest) this.#sure.clear();
    return this.#sure.has(id) && this.held.has(id);
  }

  /** Other processors may have its tasks by now. */
  loses(): void {
    this.#sure.clear();
  }

  private async call(sql: Sql, expression: string, args: unknown[]) {
    const [row] = await sql.unsafe(`select ${expression} as value`, args as never[]);
    return row!.value;
  }

  /** Leases that end until then may have been freed. */
  static frees(now: Date): void {
    if (now > Processor.#latest) Processor.#latest = now;
  }

  private isThere(now: Date): void {
    const until = later(LEASE_SECONDS, now);
    // A lease that it has lasts longer; one that it begins ends then.
    const has = [...this.#sure].some((id) => this.has(id));
    if (!has || until > this.#leasedUntil) this.#leasedUntil = until;
  }

  /** @param taken Whether another act may be taking its leases away meanwhile. */
  async claim(
    sql: Sql,
    limit: number,
    busy: Record<string, number> | null,
    now: Date,
    taken = () => false,
  ) {
    Processor.frees(now);
    const told = await this.call(
      sql,
      "batches.claim_tasks($1, $2, $3, $4, $5::text::jsonb, $6)",
      [
        this.jobId,
        this.token,
        limit,
        LEASE_SECONDS,
        busy === null ? null : JSON.stringify(busy),
        now,
      ],
    );
    this.isThere(now);
    for (const task of told.tasks as Task[]) {
      assert.ok(taken() || !this.has(task.id), `task ${task.id} was given to its holder again`);
      this.held.set(task.id, task);
      this.#sure.add(task.id);
    }
    return told;
  }

  async finish(sql: Sql, results: Record<string, unknown>[], now: Date) {
    const told = await this.call(sql, "batches.finish_tasks($1, $2, $3::text::jsonb, $4)", [
      this.jobId,
      this.token,
      JSON.stringify(results),
      now,
    ]);
    this.sent.push(...results);
    for (const { id } of results) this.held.delete(id as number);
    this.ends.completed += told.completed;
    this.ends.failed += told.failed;
    assert.equal(told.accepted + told.refused, results.length);
    return told;
  }

  async heartbeat(sql: Sql, now: Date) {
    const told = await this.call(sql, "batches.heartbeat_job($1, $2, $3, $4)", [
      this.jobId,
      this.token,
      LEASE_SECONDS,
      now,
    ]);
    if (told.held > 0) this.isThere(now);
  }

  async release(sql: Sql, ids: number[] | null, now: Date) {
    await this.call(sql, "batches.release_tasks($1, $2, $3::bigint[], $4)", [
      this.jobId,
      this.token,
      ids === null ? null : `{${ids.join(",")}}`,
      now,
    ]);
    for (const id of ids ?? [...this.held.keys()]) this.held.delete(id);
  }
}

/** Notes each end of a task by a trigger, so that deleted rows are known too. */
async function watchEnds(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create table public.ends (job_id uuid, task_id bigint, status text);
    create function public.note_end() returns trigger language plpgsql as $$
    begin
      if old.completed_at is not null then
        raise exception 'task % had ended as %', old.id, old.status;
      end if;
      if new.completed_at is not null then
        insert into public.ends values (new.job_id, new.id, new.status);
      end if;
      return null;
    end;
    $$;
    create trigger note_end after update on public.batch_tasks for each row execute function public.note_end();`);
}

/** Holds the counters against the ends that were noted; the rest only for batch jobs whose rows were not deleted. */
async function assertSound(sql: Sql, meddled: Set<string>): Promise<void> {
  const wrong = await sql`
    select jobs.id, tasks_completed, tasks_failed, tasks_total, status, reasons from batch_jobs as jobs
    cross join lateral (
      select count(*) filter (where ends.status = 'completed') as completed, count(*) filter (where ends.status = 'failed') as failed
      from ends where job_id = jobs.id) as seen
    where (tasks_completed, tasks_failed) <> (seen.completed, seen.failed)
      or status <> 'cancelled' and tasks_failed <> (
        select coalesce(sum(value::int), 0) from jsonb_each_text(reasons) where key <> 'prompt was deleted')
      or status in ('completed', 'partial', 'failed') and tasks_total <>
        tasks_completed + tasks_failed + coalesce((reasons ->> 'prompt was deleted')::int, 0)
      or (completed_at is not null and exists (select from batch_tasks where job_id = jobs.id and completed_at is null))
      or (completed_at is not null and exists (select from batches.leases where job_id = jobs.id))`;
  assert.deepEqual([...wrong], []);
  const [twice] = await sql`select task_id from ends group by task_id having count(*) > 1`;
  assert.equal(twice, undefined, "a task ended twice");
  const shared = await sql`
    select task_id from batches.leases, unnest(task_ids) as task_id group by task_id having count(*) > 1`;
  assert.deepEqual([...shared], [], "leased by two");
  await assertBatchesSound(sql, [...meddled]);
}

/** A processor that is told "never" must hold all open tasks itself. */
async function assertNothingHidden(sql: Sql, own: Processor, told: Record<string, unknown>) {
  if (told.next_in_ms !== null || (told.more as string[]).length > 0) return;
  const hidden = await sql`
    select id, provider, run_after from batch_tasks where job_id = ${own.jobId} and completed_at is null
      and not exists (select from batches.leases where job_id = ${own.jobId} and token = ${own.token} and batch_tasks.id = any (task_ids))`;
  assert.deepEqual([...hidden], [], "open, and the claim says there is nothing to wait for");
}

async function prepare(db: TestDatabase): Promise<void> {
  await db.admin.unsafe(`alter database ${db.name} set deadlock_timeout = '50ms'`);
  await setSecret(db.sql, "project_url", PROJECT_URL);
  await setSecret(db.sql, "cron_secret", CRON_SECRET);
  await addProvider(db.sql, "one", { concurrency: 2 });
  await addProvider(db.sql, "two", { concurrency: 3, fallback_provider: "one" });
  await addProvider(db.sql, "three", { concurrency: 4, fallback_provider: "two" });
  await addProvider(db.sql, "four", { concurrency: 5 });
  await db.sql`update batch_providers set fallback_provider = 'three' where name = 'one'`;
  await watchEnds(db.sql);
}

function randomResult(random: Random, task: Task, outcomes: string[]) {
  if (task.problem !== null) {
    return {
      id: task.id,
      outcome: task.answerer === null ? "unusable" : "refused",
      reason: task.problem,
    };
  }
  const outcome = random.pick(outcomes);
  return result(
    task,
    outcome,
    outcome === "waiting" && random.chance(0.7)
      ? { wait_seconds: random.pick([1, 20, 300, 80_000]), provider_is_down: random.chance(0.3) }
      : outcome === "answered"
      ? {}
      : { reason: random.pick(["HTTP 500", "HTTP 418", "no connection"]) },
  );
}

function someOf<T>(random: Random, values: Iterable<T>): T[] {
  const share = random.pick([0.2, 0.7, 1]);
  return [...values].filter(() => random.chance(share));
}

const gone = (error: unknown) =>
  error instanceof postgres.PostgresError && error.code === "SD007" &&
  error.message.startsWith("there is no batch job");
const deadlocked = (error: unknown) =>
  error instanceof postgres.PostgresError && error.code === "40P01";

/** Works as a new processor does until the batch job is over. Returns the time at which it is. */
async function drive(sql: Sql, own: Processor, random: Random, start: Date): Promise<Date> {
  let now = start;
  for (let step = 0; step < 400; step++) {
    const told = await own.claim(
      sql,
      random.pick([3, 20, 100]),
      random.chance(0.5) ? null : {},
      now,
    );
    if (told.status !== "running") return now;
    if (told.tasks.length === 0) {
      assert.deepEqual(told.more, [], "more, but nothing is given to somebody with free hands");
      assert.notEqual(told.next_in_ms, null, "open, and nothing to wait for");
      now = later(told.next_in_ms / 1000, now);
      continue;
    }
    now = later(random.whole(0, 5), now);
    const results = (told.tasks as Task[]).map((task) =>
      randomResult(random, task, random.chance(0.7) ? ["answered"] : OUTCOMES)
    );
    if ((await own.finish(sql, results, now)).open === 0) return now;
  }
  throw new Error(`batch job ${own.jobId} does not end`);
}

async function driveAllToTheirEnd(
  db: TestDatabase,
  random: Random,
  start: Date,
  ends: Processor["ends"],
) {
  const open = await db.sql<{ id: string; created_at: Date }[]>`
    select id, created_at from batch_jobs where completed_at is null`;
  for (const { id, created_at } of open) {
    const over = await drive(db.sql, new Processor(id, ends), random, start);
    const latest = Math.max(start.getTime(), later(WAIT_HOURS * 3600, created_at).getTime());
    assert.ok(
      over.getTime() <= latest + 15 * 60_000,
      `batch job ${id} ended at ${over.toISOString()}, begun again at ${start.toISOString()}`,
    );
  }
  const [left] = await db
    .sql`select count(*)::int as count from batch_jobs where completed_at is null`;
  assert.equal(left!.count, 0);
  const [seen] = await db.sql`
    select count(*) filter (where status = 'completed')::int as completed from ends`;
  assert.equal(seen!.completed, ends.completed, "answers that were taken");
}

Deno.test(
  "random acts of processors, people and clocks: each task ends once and none is lost",
  { ignore: !timeoutsFire },
  () =>
    withDatabase(async (db) => {
      await prepare(db);
      const random = seededRandom(SEED);
      const connections = Array.from({ length: 4 }, () => db.connect());
      const ends = { completed: 0, failed: 0 };
      const meddled = new Set<string>();
      const jobs: string[] = [];
      const processors: Processor[] = [];
      const done = new Map<string, number>();
      let now = NOON;
      const outcomesOf = (own: Processor) => jobs.indexOf(own.jobId) % 2 === 0 ? ENDS : OUTCOMES;
      const hire = () => {
        processors.push(new Processor(random.pick(jobs.slice(-6)), ends));
        if (processors.length > 12) processors.shift();
      };
      /** Does one thing; tokens and batch jobs whose leases it may have ended are in `touched`. */
      const act = async (sql: Sql, own: Processor, alone: boolean, touched: Set<string>) => {
        const verb = random.pick([
          ..."claim claim claim claim finish finish finish finish release heartbeat heartbeat"
            .split(
              " ",
            ),
          ..."die late again cancel resume provider breaker continue".split(" "),
          ...(jobs.indexOf(own.jobId) % 3 === 0 ? ["lease", "prompt", "organization"] : []),
        ]);
        const at = later(random.whole(0, 3), now);
        const ofJob = () => touched.add(own.jobId);
        if (verb === "claim") {
          const busy = random.pick([null, {}, {
            one: random.whole(0, 5),
            two: 4,
            four: 1_000_000,
          }]);
          const told = await own.claim(
            sql,
            random.whole(1, 12),
            busy,
            at,
            () => touched.has(own.jobId),
          );
          const ids = (told.tasks as Task[]).map((task) => task.id);
          // After a lease was deleted by hand, the first claim that gets nothing looks from the beginning.
          if (alone && (ids.length === 0 || !meddled.has(own.jobId))) {
            await assertNothingHidden(sql, own, told);
          }
          for (const other of processors) {
            if (other === own || touched.has(other.token) || touched.has(other.jobId)) continue;
            assert.deepEqual(
              ids.filter((id) => other.has(id)),
              [],
              "held by somebody who is alive",
            );
          }
        } else if (verb === "finish") {
          touched.add(own.token);
          const results = someOf(random, own.held.values()).map((task) =>
            randomResult(random, task, outcomesOf(own))
          );
          if (random.chance(0.1)) results.push(...results);
          if (random.chance(0.1)) {
            results.push(result({ id: random.whole(1, 300), answerer: "one" }, "answered"));
          }
          await own.finish(sql, results, at);
        } else if (verb === "again") {
          touched.add(own.token);
          await own.finish(sql, someOf(random, own.sent.slice(-10)), at);
        } else if (verb === "late") {
          touched.add(own.token);
          await own.finish(
            sql,
            someOf(random, own.held.values()).map((task) =>
              randomResult(random, task, outcomesOf(own))
            ),
            later(LEASE_SECONDS + 5, at),
          );
        } else if (verb === "release") {
          touched.add(own.token);
          await own.release(sql, random.chance(0.5) ? null : someOf(random, own.held.keys()), at);
        } else if (verb === "heartbeat") {
          await own.heartbeat(sql, at);
        } else if (verb === "die") {
          processors.splice(processors.indexOf(own), 1, new Processor(own.jobId, ends));
        } else if (verb === "cancel" && random.chance(0.1)) {
          ofJob();
          await sql`select batches.cancel_job(${own.jobId}, 'at random', 'test', ${at})`;
        } else if (verb === "resume") {
          Processor.frees(at);
          await sql`select batches.resume_stuck_job(${own.jobId}, ${at})`;
          await sql.begin(async (tx) => {
            await tx`select from scheduler_jobs where name = 'robust-batch-processor' for no key update`;
            await tx`update scheduler_runs set status = 'failed', verdict = 'lost', completed_at = now()
            where payload ->> 'batchJobId' = ${own.jobId} and completed_at is null`;
          });
        } else if (verb === "continue") {
          await sql`select batches.continue_job(${own.jobId}, 60000, ${at})`;
        } else if (verb === "provider") {
          await sql`update batch_providers set enabled = random() < 0.7 where name = ${
            random.pick(PROVIDERS)
          }`;
        } else if (verb === "breaker") {
          await sql`update batch_providers set open_until = ${
            random.chance(0.5) ? null : later(random.whole(-60, 120), at)
          }, failures_in_row = ${random.whole(0, 7)} where name = ${random.pick(PROVIDERS)}`;
        } else if (verb === "lease") {
          ofJob();
          meddled.add(own.jobId);
          await sql`delete from batches.leases where job_id = ${own.jobId}`;
        } else if (verb === "prompt") {
          ofJob();
          meddled.add(own.jobId);
          await sql`delete from prompts where id = (
          select prompt_id from batch_tasks where job_id = ${own.jobId} order by id offset ${
            random.whole(0, 9)
          } limit 1)`;
        } else if (verb === "organization" && random.chance(0.1)) {
          ofJob();
          meddled.add(own.jobId);
          await sql`delete from organizations where id = (select organization_id from batch_jobs where id = ${own.jobId})`;
        }
        done.set(verb, (done.get(verb) ?? 0) + 1);
      };

      for (let round = 0; round < 700; round++) {
        if (round % 50 === 0) {
          jobs.push(await addBatch(db.sql, random.pick([3, 12, 40]), PROVIDERS, now));
          for (let i = 0; i < 3; i++) hire();
        }
        if (random.chance(0.05)) hire();
        // Time goes on for all; sometimes leases end, and seldom a batch job gets old.
        now = later(
          random.chance(0.008) ? 7_200 : random.chance(0.04) ? 70 : random.whole(0, 2),
          now,
        );
        if (random.chance(0.02)) {
          // No task ends, but all processors send heartbeats.
          for (let i = 0; i < 4; i++) {
            now = later(50, now);
            for (const own of processors) await own.heartbeat(db.sql, now);
          }
        }
        const together = random.pick([1, 1, 2, 4]);
        const touched = new Set<string>();
        const chosen = new Set(Array.from({ length: together }, () => random.pick(processors)));
        const errors = (await Promise.allSettled(
          [...chosen].map((own, i) => act(connections[i]!, own, chosen.size === 1, touched)),
        )).flatMap((each) => each.status === "rejected" ? [each.reason] : []);
        for (const own of processors) if (touched.has(own.jobId)) own.loses();
        const deletes = [...touched].some((id) => jobs.includes(id));
        for (const error of errors) {
          if (!gone(error) && !(deletes && deadlocked(error))) {
            throw error;
          }
        }
        if (round % 3 === 0 || errors.length > 0) await assertSound(db.sql, meddled);
      }
      await assertSound(db.sql, meddled);
      await driveAllToTheirEnd(db, random, later(1, now), ends);
      await assertSound(db.sql, meddled);
      console.log(Object.fromEntries(done), ends);
    }),
);

for (const deleting of [false, true]) {
  const what = deleting
    ? "while prompts and organizations are deleted nothing is lost"
    : "no deadlock";
  Deno.test(
    `eight connections at once on three batch jobs that share providers with open breakers: ${what}`,
    { ignore: deleting && !timeoutsFire },
    () =>
      withDatabase(async (db) => {
        await prepare(db);
        const seeds = seededRandom(SEED + 1);
        const ends = { completed: 0, failed: 0 };
        const jobs: string[] = [];
        for (let i = 0; i < 3; i++) jobs.push(await addBatch(db.sql, 150, PROVIDERS, NOON));
        let now = NOON;
        const seen = { deadlocks: 0, gone: 0, claimed: 0 };
        const work = async (sql: Sql, random: Random) => {
          let own = new Processor(random.pick(jobs), ends);
          for (let round = 0; round < 120; round++) {
            now = later(random.chance(0.05) ? 61 : 1, now);
            try {
              const verb = random.pick(
                "claim claim claim finish finish finish release heartbeat breaker breaker move delete"
                  .split(" "),
              );
              if (verb === "claim") {
                seen.claimed +=
                  (await own.claim(sql, 25, random.pick([null, {}]), now)).tasks.length;
              } else if (verb === "finish") {
                const results = [...own.held.values()].map((task) =>
                  randomResult(random, task, [
                    "answered",
                    "answered",
                    "failed",
                    "waiting",
                    "cut",
                    "refused",
                  ])
                );
                await own.finish(sql, results, now);
              } else if (verb === "release") await own.release(sql, null, now);
              else if (verb === "heartbeat") await own.heartbeat(sql, now);
              else if (verb === "breaker") {
                // Due for a probe, or open.
                await sql`update batch_providers set failures_in_row = 5, open_until = ${
                  later(random.pick([-1, 3]), now)
                } where name = ${random.pick(PROVIDERS)}`;
              } else if (verb === "move") own = new Processor(random.pick(jobs), ends);
              else if (deleting && random.chance(0.05)) {
                await sql`delete from organizations where id = (select organization_id from batch_jobs where id = ${own.jobId})`;
              } else if (deleting) {
                await sql`delete from prompts where id in (
                select prompt_id from batch_tasks where job_id = ${own.jobId} and completed_at is null order by id limit 3)`;
              }
            } catch (error) {
              if (deleting && gone(error)) {
                seen.gone++;
                own = new Processor(random.pick(jobs), ends);
              } else if (deleting && deadlocked(error)) seen.deadlocks++;
              else throw error;
            }
          }
        };
        await Promise.all(
          Array.from({ length: 8 }, () => work(db.connect(), seededRandom(seeds.whole(1, 1e9)))),
        );
        const meddled = new Set(deleting ? jobs : []);
        await assertSound(db.sql, meddled);
        await driveAllToTheirEnd(db, seeds, later(1, now), ends);
        await assertSound(db.sql, meddled);
        console.log(seen, ends);
        assert.ok(seen.claimed > 50);
      }),
  );
}
