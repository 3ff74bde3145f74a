import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";
import { createCronWorker } from "../local/cron-worker.ts";
import { startStack } from "../local/stack.ts";
import { type Figure, median, quantile } from "./figure.ts";

const entries = 20;
const rounds = 12;
/** By then pg_net hears a wake at once: a second passes after its work, and one more after the look that finds nothing. */
const untilIdleMs = 2_300;
const limitMs = 15_000;

/**
 * Twenty entries of one minute, started together by pg_cron's stand-in, through pg_net's rhythm (it wakes, sends what is
 * committed, and looks again a second later): from the start of the first entry to the first line of each job, against
 * entries that each post to a bare function.
 */
export async function benchMinute(): Promise<Figure[]> {
  const stack = await startStack({
    cron: false,
    functionsDirectories: [fileURLToPath(new URL("functions", import.meta.url))],
  });
  try {
    const { sql } = stack;
    await sql`select scheduler.unregister_job(name) from public.scheduler_jobs`;
    await sql`select cron.unschedule('scheduler-pulse')`;
    const dispatched: number[] = [];
    const bare: number[] = [];
    for (let round = -1; round < rounds; round++) {
      const lags = [
        await lagsOfAMinute(
          stack.adminUrl,
          sql,
          () => schedule(sql, bareCommand(stack.apiUrl)),
          bareFirstLines,
        ),
        await lagsOfAMinute(stack.adminUrl, sql, () => register(sql), firstLines),
      ] as const;
      if (round < 0) continue; // the workers boot
      bare.push(...lags[0]);
      dispatched.push(...lags[1]);
    }
    const parts = (share: number) => [
      `dispatch ${quantile(dispatched, share).toFixed(0)} ms, bare ${
        quantile(bare, share).toFixed(0)
      } ms`,
      `${dispatched.length} requests each`,
    ];
    return [
      {
        name:
          `${entries} jobs of one minute, to the first line of each, against as many bare net.http_post (p50)`,
        value: median(dispatched) / median(bare),
        unit: "×",
        limit: 0.1,
        parts: parts(0.5),
      },
      {
        name: "the same (p99)",
        value: quantile(dispatched, 0.99) / quantile(bare, 0.99),
        unit: "×",
        limit: 0.3,
        parts: parts(0.99),
      },
    ];
  } finally {
    await stack.stop();
  }
}

/** Makes entries, lets pg_net become idle, starts them all at one moment, and says how long each took from there. */
async function lagsOfAMinute(
  adminUrl: string,
  sql: Sql,
  makeEntries: () => Promise<unknown>,
  readFirstLines: (sql: Sql) => Promise<number[]>,
): Promise<number[]> {
  await sql`select cron.unschedule(jobid) from cron.job`;
  await makeEntries();
  const minute = new Date(Math.floor(Date.now() / 60_000) * 60_000);
  const worker = await createCronWorker({
    adminUrl,
    now: () => new Date(minute.getTime() - 60_000),
  });
  try {
    await new Promise((resolve) => setTimeout(resolve, untilIdleMs));
    await worker.tick(minute);
    for (const end = Date.now() + limitMs; Date.now() < end;) {
      const at = await readFirstLines(sql);
      if (at.length === entries) {
        const firstStart = await readFirstStart(sql);
        return at.map((moment) => moment - firstStart);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(
      `Cannot measure a minute of ${entries} entries: not all had run after ${limitMs / 1000} s`,
    );
  } finally {
    await worker.stop();
  }
}

/** When the first of the entries began; what pg_cron's stand-in takes until then is neither's. */
async function readFirstStart(sql: Sql): Promise<number> {
  const [row] = await sql`
    select extract(epoch from min(start_time)) * 1000 as at from (
      select start_time from cron.job_run_details order by runid desc limit ${entries}) as newest`;
  return Number(row!.at);
}

function bareCommand(apiUrl: string): string {
  return `select net.http_post('${apiUrl}/functions/v1/bare', '{}'::jsonb)`;
}

async function schedule(sql: Sql, command: string): Promise<void> {
  await sql`truncate net._http_response`;
  await sql`select cron.schedule('bare-' || i, '* * * * *', ${command}) from generate_series(1, ${entries}::int) as i`;
}

async function bareFirstLines(sql: Sql): Promise<number[]> {
  const rows =
    await sql`select content::jsonb ->> 'at' as at from net._http_response where status_code = 200`;
  return rows.map(({ at }) => Number(at));
}

async function register(sql: Sql): Promise<void> {
  await sql`select scheduler.unregister_job(name) from public.scheduler_jobs`;
  await sql`delete from public.scheduler_runs`;
  await sql`
    select scheduler.register_job('job-' || i, '* * * * *', target => 'first-line') from generate_series(1, ${entries}::int) as i`;
  await sql`update public.scheduler_jobs set next_run_at = date_trunc('minute', now())`;
}

async function firstLines(sql: Sql): Promise<number[]> {
  const rows =
    await sql`select result ->> 'at' as at from public.scheduler_runs where status = 'completed'`;
  return rows.map(({ at }) => Number(at));
}
