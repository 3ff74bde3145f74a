import type { Sql } from "postgres";
import { startStack } from "../local/stack.ts";
import { type Figure, quantile } from "./figure.ts";

const jobs = 1000;
const minutes = 10;
/** How often it is looked which runs have been dispatched: what is measured is at most so much too long. */
const lookEveryMs = 50;

/**
 * A thousand jobs of every minute for ten real minutes, with the workers of pg_cron and pg_net: from the minute to the
 * moment at which a run's dispatch is committed, which occurrences have no row, and how long a transaction of the pulse lasts.
 */
export async function benchThousandJobs(): Promise<Figure[]> {
  // Answers 200 like the project's functions gateway; the answer is the receipt.
  const receiver = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response("{}"),
  );
  const stack = await startStack({ cron: true, functionsDirectories: [] });
  try {
    const { sql } = stack;
    await sql`select scheduler.unregister_job(name) from public.scheduler_jobs`;
    await sql`delete from public.scheduler_runs`;
    await sql`delete from vault.secrets where name = 'project_url'`;
    await sql`select vault.create_secret(${`http://127.0.0.1:${receiver.addr.port}`}, 'project_url')`;
    await sql`
      select scheduler.register_job('job-' || i, '* * * * *', target => 'bench', receipt => 'response', timeout_seconds => 30)
      from generate_series(1, ${jobs}::int) as i`;
    await sql.unsafe(await Deno.readTextFile(new URL("thousand-jobs.sql", import.meta.url)));
    const [clock] = await sql`select date_trunc('minute', now()) + interval '1 minute' as first`;
    const first = (clock!.first as Date).getTime();
    const lags = await watch(sql, first, first + minutes * 60_000);
    return [
      {
        name:
          `${jobs} jobs of every minute for ${minutes} minutes: from the minute to dispatched (p99)`,
        value: quantile(lags, 0.99),
        unit: "ms",
        limit: 2000,
        parts: [
          `p50 ${quantile(lags, 0.5).toFixed(0)} ms, slowest ${Math.max(...lags).toFixed(0)} ms`,
          `${lags.length.toLocaleString("en-US")} runs`,
        ],
      },
      await withoutRow(sql, first),
      await pulses(sql, first),
    ];
  } finally {
    await stack.stop();
    await receiver.shutdown();
  }
}

/** Until `until` and a little longer: how long after its minute each first attempt was seen dispatched. */
async function watch(sql: Sql, from: number, until: number): Promise<number[]> {
  const seen = new Set<string>();
  const lags: number[] = [];
  while (Date.now() < until + 5000) {
    const rows = await sql<{ id: string; scheduled_for: Date }[]>`
      select id, scheduled_for from public.scheduler_runs
      where attempt = 1 and dispatched_at is not null and created_at > now() - interval '20 seconds'
        and scheduled_for >= ${new Date(from)} and scheduled_for < ${new Date(until)}`;
    const now = Date.now();
    for (const { id, scheduled_for } of rows) {
      if (seen.has(id)) continue;
      seen.add(id);
      lags.push(now - scheduled_for.getTime());
    }
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
  return lags;
}

async function withoutRow(sql: Sql, from: number): Promise<Figure> {
  const [row] = await sql`
    select count(*) filter (where runs.id is null)::int as missing,
      count(*) filter (where runs.status = 'completed')::int as completed,
      count(*) filter (where runs.status in ('skipped', 'missed'))::int as left_out
    from public.scheduler_jobs as jobs
    cross join generate_series(${new Date(from)}::timestamptz, ${new Date(
    from + (minutes - 1) * 60_000,
  )}::timestamptz, interval '1 minute') as due
    left join public.scheduler_runs as runs
      on runs.job_name = jobs.name and runs.scheduled_for = due and runs.attempt = 1`;
  return {
    name: "the same: occurrences that have no row or did not run",
    value: row!.missing + row!.left_out,
    unit: "occurrences",
    limit: 0,
    parts: [
      `${row!.completed} completed, ${row!.left_out} skipped or missed, ${
        row!.missing
      } without a row`,
    ],
  };
}

async function pulses(sql: Sql, from: number): Promise<Figure> {
  const rows = await sql<{ ms: number }[]>`select ms from public.bench_pulses`;
  const durations = rows.map(({ ms }) => ms);
  const [beats] = await sql`
    select count(*)::int as count, max(extract(epoch from end_time - start_time))::float8 as longest
    from cron.job_run_details where command = scheduler.pulse_command() and end_time is not null
      and start_time >= ${new Date(from)}`;
  return {
    name: "the same: a transaction of the pulse (p99)",
    value: quantile(durations, 0.99),
    unit: "ms",
    limit: 200,
    parts: [
      `${durations.length} in ${beats!.count} beats, p50 ${quantile(durations, 0.5).toFixed(0)} ms`,
      `the longest beat ${beats!.longest.toFixed(1)} s`,
    ],
  };
}
