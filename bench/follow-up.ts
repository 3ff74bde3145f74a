import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";
import { startStack } from "../local/stack.ts";
import { type Figure, median, quantile } from "./figure.ts";

const dependencies = 25;
const continuousRuns = 100;

/**
 * From the end of a run to the first line of what follows it, a dependent or a continuous job's next run, against a bare
 * `net.http_post` to a bare function that was made in the transaction in which the run ended.
 */
export async function benchFollowUp(): Promise<Figure[]> {
  const stack = await startStack({
    cron: false,
    functionsDirectories: [fileURLToPath(new URL("functions", import.meta.url))],
  });
  try {
    const { sql } = stack;
    await sql`update public.scheduler_jobs set enabled = false`;
    await sql.unsafe(await Deno.readTextFile(new URL("follow-up.sql", import.meta.url)));
    return [await dependent(sql), await continuous(sql)];
  } finally {
    await stack.stop();
  }
}

async function dependent(sql: Sql): Promise<Figure> {
  await sql`select scheduler.register_job('dependency', '1 seconds', target => 'first-line')`;
  await sql`select scheduler.register_job('dependent', null, target => 'first-line', depends_on => '{dependency}')`;
  // The first one boots the workers.
  for (let nth = 0; nth <= dependencies; nth++) {
    await sql`update public.scheduler_jobs set next_run_at = date_trunc('second', now()) where name = 'dependency'`;
    await sql`select scheduler.dispatch('dependency')`;
    await completed(sql, "dependent", nth + 1);
    // The other rounds take longer than a second by themselves.
    if (nth === 0) await sql`truncate bench.posts; select pg_sleep(1)`.simple();
  }
  const lags = await measured(sql, "dependent", "dependency", dependencies);
  return {
    name: "end of a dependency to first line of its dependent, against a bare net.http_post (p50)",
    value: median(lags.followed) / median(lags.bare),
    unit: "×",
    limit: 1.5,
    parts: [
      `dependent ${median(lags.followed).toFixed(0)} ms, bare ${median(lags.bare).toFixed(0)} ms`,
    ],
  };
}

async function continuous(sql: Sql): Promise<Figure> {
  await sql`select scheduler.register_job('continuous', '@continuous', target => 'first-line')`;
  await sql`select scheduler.pulse()`;
  await completed(sql, "continuous", continuousRuns + 1);
  await sql`select scheduler.pause('continuous', 'measured', 'bench')`;
  const lags = await measured(sql, "continuous", "continuous", continuousRuns);
  return {
    name:
      "a continuous job's gap: end of a run to first line of the next, against a bare net.http_post (p99)",
    value: quantile(lags.followed, 0.99) / quantile(lags.bare, 0.99),
    unit: "×",
    limit: 1.5,
    parts: [
      `gap ${quantile(lags.followed, 0.99).toFixed(0)} ms, bare ${
        quantile(lags.bare, 0.99).toFixed(0)
      } ms`,
      `p50 ${median(lags.followed).toFixed(0)} ms, bare ${median(lags.bare).toFixed(0)} ms`,
    ],
  };
}

async function measured(sql: Sql, job: string, after: string, count: number) {
  const rows = await sql<{ followed: number; bare: number }[]>`
    select followed, bare from bench.lags(${job}, ${after})`;
  if (rows.length < count) {
    throw new Error(`Cannot measure ${job}: ${rows.length} of ${count} runs were followed`);
  }
  return { followed: rows.map((row) => row.followed), bare: rows.map((row) => row.bare) };
}

async function completed(sql: Sql, job: string, count: number): Promise<void> {
  const limit = Date.now() + 15_000 + 5_000 * count;
  while (Date.now() < limit) {
    const [row] = await sql`
      select count(*)::int as runs from public.scheduler_runs where job_name = ${job} and status = 'completed'`;
    if (row!.runs >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Cannot measure ${job}: ${count} runs were not completed in time`);
}
