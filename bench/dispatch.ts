import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";
import { startStack } from "../local/stack.ts";
import { type Figure, median } from "./figure.ts";

const rounds = 25;
const idleRounds = 10;
/** By then pg_net hears a wake at once: a second passes after its work, and one more after the look that finds nothing. */
const untilIdleMs = 2_300;

/**
 * From dispatch to the first line of the job, against a bare `net.http_post` to a bare function, in turns on one
 * stack: under steady traffic, in which pg_net looks at its queue once a second, and where it has nothing else to do and
 * sends at once, so that what Daybook adds by itself shows.
 */
export async function benchDispatch(): Promise<Figure[]> {
  const stack = await startStack({
    cron: false,
    functionsDirectories: [fileURLToPath(new URL("functions", import.meta.url))],
  });
  try {
    const { sql } = stack;
    await sql`select scheduler.register_job('first-line', '* * * * *')`;
    const steady = await measure(sql, stack.apiUrl, rounds, 0);
    const idle = await measure(sql, stack.apiUrl, idleRounds, untilIdleMs);
    const figure = (when: string, lags: typeof steady, limit: number): Figure => ({
      name:
        `dispatch to first line of the job, against a bare net.http_post to a bare function, ${when} (p50)`,
      value: lags.dispatched / lags.bare,
      unit: "×",
      limit,
      parts: [`dispatch to first line ${lags.dispatched} ms, bare ${lags.bare} ms`],
    });
    return [
      figure("under steady traffic", steady, 1.5),
      figure("with an idle pg_net", idle, 2),
    ];
  } finally {
    await stack.stop();
  }
}

async function measure(sql: Sql, apiUrl: string, count: number, pauseMs: number) {
  const bare: number[] = [];
  const dispatched: number[] = [];
  for (let round = -1; round < count; round++) {
    const lags = [];
    for (const lag of [() => bareLag(sql, apiUrl), () => dispatchLag(sql)]) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      lags.push(await lag());
    }
    if (round < 0) continue; // the workers boot
    bare.push(lags[0]!);
    dispatched.push(lags[1]!);
  }
  return { bare: median(bare), dispatched: median(dispatched) };
}

async function bareLag(sql: Sql, apiUrl: string): Promise<number> {
  const startedAt = Date.now();
  const [request] = await sql`
    select net.http_post(url := ${apiUrl + "/functions/v1/bare"}, body := '{}'::jsonb) as id`;
  const at = await eventually(async () => {
    const [row] = await sql`
      select content::jsonb ->> 'at' as at from net._http_response where id = ${request!.id}`;
    return row?.at;
  });
  return Number(at) - startedAt;
}

async function dispatchLag(sql: Sql): Promise<number> {
  await sql`
    update public.scheduler_jobs set next_run_at = date_trunc('minute', now()) where name = 'first-line'`;
  await sql`delete from public.scheduler_runs where job_name = 'first-line'`;
  const startedAt = Date.now();
  const [run] = await sql`select scheduler.dispatch('first-line') as id`;
  const at = await eventually(async () => {
    const [row] = await sql`
      select result ->> 'at' as at from public.scheduler_runs
      where id = ${run!.id} and status = 'completed'`;
    return row?.at;
  });
  return Number(at) - startedAt;
}

async function eventually<T>(probe: () => Promise<T | undefined>): Promise<T> {
  const limit = Date.now() + 15_000;
  while (Date.now() < limit) {
    const value = await probe();
    if (value !== undefined && value !== null) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("Cannot measure the dispatch: no answer came in 15 s");
}
