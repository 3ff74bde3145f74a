import postgres, { type Sql } from "postgres";
import { applyMigrations, readMigrations } from "../local/migrations.ts";
import { readReleases } from "../local/releases.ts";
import { withScratchDatabase } from "../local/scratch-database.ts";
import { type Figure, median, milliseconds } from "./figure.ts";

const runsInARound = 50;
const rounds = 12;
const waitingRuns = 10_000;
const pulses = 240;
const warmUp = 60;

/** What a run costs, and what a pulse costs while thousands of runs wait, each against the same without. */
export async function benchCoordination(): Promise<Figure[]> {
  return [await runAgainstRelease(), await pulseWithWaiting()];
}

/** Dispatch, begin and finish of a job that uses nothing new, against those of the newest version that is released. */
async function runAgainstRelease(): Promise<Figure> {
  const released = (await readReleases()).filter(({ date }) => date !== null);
  const files = new Set(released.flatMap(({ migrations }) => Object.keys(migrations)));
  const migrations = (await readMigrations()).filter(({ version, name }) =>
    files.has(`${version}_${name}.sql`)
  );
  return await withScratchDatabase(async (before) =>
    await withScratchDatabase(async (now) => {
      const [then, today] = [await jobOn(before.url), await jobOn(now.url)];
      const costs = { then: [] as number[], today: [] as number[] };
      // The first round is to warm up.
      for (let round = 0; round <= rounds; round++) {
        const pair = { then: await then.runs(round), today: await today.runs(round) };
        if (round === 0) continue;
        costs.then.push(pair.then);
        costs.today.push(pair.today);
      }
      await Promise.all([then.end(), today.end()]);
      return {
        name: `a run of a job that uses nothing new, against ${released.at(-1)!.version}`,
        value: median(costs.today.map((cost, round) => cost / costs.then[round]!)),
        unit: "×",
        limit: 1.05,
        parts: [
          `now ${median(costs.today).toFixed(2)} ms, then ${median(costs.then).toFixed(2)} ms`,
          `${rounds} rounds of ${runsInARound} runs each, in turns`,
        ],
      };
    }), { prepare: async (sql) => void await applyMigrations(sql, migrations) });
}

/** A job of every minute on that database; `runs` gives the median cost of so many runs, in milliseconds. */
async function jobOn(url: string) {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await prepare(sql);
  await sql`select scheduler.register_job('bench-job', '* * * * *')`;
  const start = Date.parse("2030-01-01T00:00:00Z");
  await sql`update public.scheduler_jobs set next_run_at = ${new Date(
    start,
  )} where name = 'bench-job'`;
  const once = async (now: Date) => {
    const [row] = await sql`select scheduler.dispatch('bench-job', ${now}) as id`;
    await sql`select scheduler.begin_run(${row!.id}, 'bench-job', 'bench', ${now})`;
    await sql`select scheduler.finish_run(${
      row!.id
    }, 'completed', '{"summary": "done"}', p_now => ${now})`;
  };
  return {
    runs: async (round: number) => {
      const costs: number[] = [];
      for (let i = 0; i < runsInARound; i++) {
        const now = new Date(start + (round * runsInARound + i) * 60_000);
        costs.push(await milliseconds(() => once(now)));
      }
      return median(costs);
    },
    end: () => sql.end(),
  };
}

/**
 * Pulses every ten seconds, in which nothing is due: with runs that wait behind a limit and for their time, and with as
 * many that are over. Each on a database of its own, in turns, so that what else the machine does meets both.
 */
async function pulseWithWaiting(): Promise<Figure> {
  return await withScratchDatabase(async (empty) =>
    await withScratchDatabase(async (full) => {
      const start = Date.now();
      const [none, many] = [await pulsesOn(empty.url), await pulsesOn(full.url)];
      await none.fill(new Date(start));
      await none.complete(new Date(start));
      await many.fill(new Date(start));
      await Promise.all([none, many].map((database) => database.analyze()));
      const left = [await none.waiting(), await many.waiting()];
      if (left[0] !== 0 || left[1] !== 2 * waitingRuns - 1) {
        throw new Error(`Cannot measure the pulse: ${left.join(" and ")} runs wait`);
      }
      const costs = { none: [] as number[], many: [] as number[] };
      for (let i = 0; i < warmUp + pulses; i++) {
        const now = new Date(start + i * 10_000);
        // Each is the first half of the time: the second of a pair may find what the first left in the caches.
        for (const which of i % 2 === 0 ? ["none", "many"] as const : ["many", "none"] as const) {
          const cost = await (which === "none" ? none : many).pulse(now);
          if (i >= warmUp) costs[which].push(cost);
        }
      }
      await Promise.all([none.end(), many.end()]);
      return {
        name:
          "a pulse beside 10,000 runs that wait for a limit and 10,000 for their time, against as many that are over",
        value: median(costs.many.map((cost, i) => cost / costs.none[i]!)),
        unit: "×",
        limit: 1.2,
        parts: [
          `with them ${median(costs.many).toFixed(2)} ms, without them ${
            median(costs.none).toFixed(2)
          } ms, p50 of ${pulses}, in turns`,
        ],
      };
    })
  );
}

/** A database whose enabled jobs are two without a schedule; `fill` gives each of them 10,000 runs. */
async function pulsesOn(url: string) {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await prepare(sql);
  await sql`update public.scheduler_jobs set enabled = false`;
  await sql`select scheduler.register_job('bench-limit', null, overlap_policy => 'allow', parallel_limit => 1)`;
  await sql`select scheduler.register_job('bench-times', null, overlap_policy => 'allow')`;
  const enqueue = (job: string, runAfter: Date | null, now: Date) =>
    sql`select scheduler.enqueue_runs(${job},
      (select jsonb_agg('{}'::jsonb) from generate_series(1, ${waitingRuns})), ${runAfter}, ${now})`;
  return {
    pulse: (now: Date) => milliseconds(() => sql`select scheduler.pulse(${now}, 10000)`),
    fill: async (now: Date) => {
      await enqueue("bench-limit", null, now);
      await enqueue("bench-times", new Date(now.getTime() + 30 * 86_400_000), now);
      // What is under way stays so: its request is answered, and it lives.
      await sql`
        update public.scheduler_runs set status = 'running', started_at = now(), timeout_seconds = 86400,
          heartbeat_at = ${new Date(now.getTime() + 86_400_000)}, request_id = null
        where status = 'dispatched'`;
    },
    complete: (now: Date) =>
      sql`
        update public.scheduler_runs set status = 'completed', verdict = 'ok', completed_at = ${now}, run_after = null,
          waiting = null
        where status = 'queued'`,
    // As autovacuum does within a minute.
    analyze: () => sql`vacuum (analyze) public.scheduler_runs`,
    waiting: async () => {
      const [row] =
        await sql`select count(*)::int as runs from public.scheduler_runs where status = 'queued'`;
      return row!.runs as number;
    },
    end: () => sql.end(),
  };
}

async function prepare(sql: Sql): Promise<void> {
  await sql`select vault.create_secret('http://127.0.0.1:1', 'project_url')`;
  await sql`select vault.create_secret(${crypto.randomUUID()}, 'cron_secret')`;
}
