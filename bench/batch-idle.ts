import type { Sql } from "postgres";
import { type Figure, median, milliseconds } from "./figure.ts";

const jobs = ["daily-batch-trigger-zones", "batch-reconciler"];
const rounds = 100;

/** What pg_cron's statements for the daily batch cost at a tick outside the window, with 10,000 organizations. */
export async function benchBatchIdle(sql: Sql): Promise<Figure> {
  await sql.unsafe(await Deno.readTextFile(new URL("batch-idle.sql", import.meta.url)));
  const [clock] = await sql`select date_trunc('minute', now()) as now`;
  const now = clock!.now as Date;
  const durations = jobs.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, name] of jobs.entries()) {
      // An occurrence of this minute, whatever the minute is.
      await sql`
        update scheduler_jobs set schedule = '* * * * *', next_run_at = ${now} where name = ${name}`;
      durations[i]!.push(
        await milliseconds(() => sql`select scheduler.dispatch(${name}, ${now})`),
      );
      const [after] = await sql`
        select next_run_at > ${now} as taken, (select count(*)::int from scheduler_runs) as runs
        from scheduler_jobs where name = ${name}`;
      if (!after!.taken || after!.runs !== 0) {
        throw new Error(`Cannot measure the idle tick of ${name}: something was due`);
      }
    }
  }
  const medians = durations.map(median);
  return {
    name: `an idle tick of ${jobs.join(" and of ")} together, 10,000 organizations (p50)`,
    value: medians.reduce((sum, ms) => sum + ms, 0),
    unit: "ms",
    limit: 10,
    parts: jobs.map((name, i) =>
      `${name}: ${medians[i]!.toFixed(2)} ms, slowest ${
        Math.max(...durations[i]!).toFixed(1)
      } ms; no request, no row`
    ),
  };
}
