/** Made-up days of jobs, as the ledger's trigger would have written them, for the tests of forecasts. */
import type { Sql } from "postgres";
import type { Random } from "./random.ts";

/** One day of a job. */
export interface Day {
  /** How many days before today: 1 is yesterday. */
  ago: number;
  /** How long each run that completed took, and in which UTC hour it began. */
  runs: { ms: number; hour: number }[];
  failed?: number;
  figures?: Record<string, { sum: number; least: number; most: number; runs: number }>;
}

/** A number of the normal distribution. */
export function normal(random: Random): number {
  const uniform = () => random.whole(1, 1_000_000) / 1_000_001;
  return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** A number of the Poisson distribution. */
export function poisson(random: Random, mean: number): number {
  if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)));
  const limit = Math.exp(-mean);
  let count = -1;
  for (let product = 1; product > limit; count++) product *= random.whole(1, 1_000_000) / 1_000_001;
  return count;
}

/** As `scheduler.duration_place`. */
export const placeOf = (ms: number) => Math.ceil(Math.log(Math.max(ms, 1)) / Math.log(1.05));

/** A sparse array as Postgres writes one, with its lower bound. */
function arrayOf(entries: Map<number, number>): string {
  if (entries.size === 0) return "{}";
  const places = [...entries.keys()];
  const [low, high] = [Math.min(...places), Math.max(...places)];
  const items = Array.from({ length: high - low + 1 }, (_, i) => entries.get(low + i) ?? "NULL");
  return `[${low}:${high}]={${items.join(",")}}`;
}

function rowOf(job: string, today: Date, { ago, runs, failed = 0, figures = {} }: Day) {
  const durations = new Map<number, number>();
  const hourRuns = new Map<number, number>();
  const hourMs = new Map<number, number>();
  const add = (sums: Map<number, number>, at: number, amount: number) =>
    sums.set(at, (sums.get(at) ?? 0) + amount);
  let [sum, least, most] = [0, Infinity, 0];
  for (const { ms, hour } of runs) {
    add(durations, placeOf(ms), 1);
    add(hourRuns, hour, 1);
    add(hourMs, hour, ms);
    [sum, least, most] = [sum + ms, Math.min(least, ms), Math.max(most, ms)];
  }
  return {
    job_name: job,
    day: new Date(today.getTime() - ago * 86_400_000).toISOString().slice(0, 10),
    completed: runs.length,
    failed,
    sent: runs.length + failed,
    wall_ms: sum,
    success_rows: runs.length,
    failure_rows: failed,
    durations: arrayOf(durations),
    shortest_ms: runs.length > 0 ? least : null,
    longest_ms: runs.length > 0 ? most : null,
    hour_runs: arrayOf(hourRuns),
    hour_ms: arrayOf(hourMs),
    figures,
  };
}

/** Writes the days of jobs. Days without a run and a failure are left out, as the trigger would. */
export async function writeDays(
  sql: Sql,
  today: Date,
  jobs: Iterable<[string, Day[]]>,
): Promise<void> {
  let rows: ReturnType<typeof rowOf>[] = [];
  const write = async () => {
    await sql`
      insert into scheduler.job_days (job_name, day, completed, failed, sent, wall_ms, success_rows, failure_rows,
        durations, shortest_ms, longest_ms, hour_runs, hour_ms, figures)
      select job_name, day, completed, failed, sent, wall_ms, success_rows, failure_rows, durations::integer[],
        shortest_ms, longest_ms, hour_runs::integer[], hour_ms::bigint[], figures
      from jsonb_to_recordset(${
      sql.json(rows as never)
    }) as rows (job_name text, day date, completed integer,
        failed integer, sent integer, wall_ms bigint, success_rows integer, failure_rows integer, durations text,
        shortest_ms integer, longest_ms integer, hour_runs text, hour_ms text, figures jsonb)`;
    rows = [];
  };
  for (const [job, days] of jobs) {
    for (const day of days) {
      if (day.runs.length > 0 || (day.failed ?? 0) > 0 || day.figures) {
        rows.push(rowOf(job, today, day));
      }
    }
    if (rows.length >= 5000) await write();
  }
  if (rows.length > 0) await write();
}
