import type { Sql } from "postgres";
import { type Figure, median, milliseconds } from "./figure.ts";

/**
 * A pulse over 1,000 jobs and 1 million ledger rows: each of 60 simulated minutes finds new dispatched runs, answers to
 * read, a job that pg_cron forgot. The first one, which
 * finds an hour in which nothing was dispatched, is reported apart.
 */
export async function benchPulse(sql: Sql): Promise<Figure> {
  await sql.unsafe(await Deno.readTextFile(new URL("pulse.sql", import.meta.url)));
  const [clock] = await sql`select date_trunc('hour', now()) + interval '1 hour' as start`;
  const start = (clock!.start as Date).getTime();
  const answers: number[] = [];
  const first = await milliseconds(() => sql`select scheduler.pulse(${new Date(start)})`);
  const durations: number[] = [];
  for (let minute = 0; minute < 60; minute++) {
    const now = new Date(start + minute * 60_000);
    // All jobs of this minute are dispatched but one, which the pulse two minutes later finds.
    await sql`
      select count(scheduler.dispatch(name, ${now})) from public.scheduler_jobs
      where next_run_at <= ${now} and name not in (
        select name from public.scheduler_jobs where next_run_at <= ${now} order by name limit 1)`;
    await sql`
      insert into net._http_response (id, status_code, headers, created)
      select request_id, 202, '{}', ${now}::timestamptz + interval '1 s' from public.scheduler_runs
      where status = 'dispatched' and dispatched_at = ${now}`;
    await sql`
      select count(scheduler.begin_run(id, function_name, 'bench', ${now})) from public.scheduler_runs
      where status = 'dispatched' and dispatched_at = ${now}`;
    let report: { answers: number } | undefined;
    durations.push(
      await milliseconds(async () => {
        const [row] = await sql`
          select scheduler.pulse(${new Date(start + minute * 60_000 + 500)}) as report`;
        report = row!.report;
      }),
    );
    answers.push(report!.answers);
    await sql`
      select count(scheduler.finish_run(id, 'completed', p_now => ${new Date(
      start + minute * 60_000 + 3000,
    )}))
      from public.scheduler_runs where status = 'running'`;
  }
  if (Math.max(...answers) < 10) throw new Error("Cannot measure the pulse: it had nothing to do");
  return {
    name: "pulse, 1,000 jobs and 1,000,000 ledger rows (p50)",
    value: median(durations),
    unit: "ms",
    limit: 50,
    parts: [
      `slowest ${Math.max(...durations).toFixed(1)} ms`,
      `first, after an hour in which no job was dispatched, ${first.toFixed(0)} ms`,
      `answers read in each, p50 ${median(answers)}`,
    ],
  };
}
