import type { Sql } from "postgres";
import { formatDuration, formatTable } from "./format-table.ts";
import { pause } from "./run-feed.ts";
import { findRuns, isOver, type Run, whatItFound } from "./runs.ts";

const POLL_MS = 200;
/** Pulse gives a run that fell silent its verdict; a run that goes well never needs it. */
const PULSE_EVERY_MS = 5_000;
/** What pulse may take beyond a job's own timeout, in seconds. */
const VERDICT_SECONDS = 300;

/**
 * Sends every enabled job with a schedule through the real dispatch path, waits until each run is over, those
 * that they enqueue too, and prints what came of it. True when every run completed.
 */
export async function runEveryJobOnce(
  sql: Sql,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const jobs = await sql<{ name: string; timeout_seconds: number }[]>`
    select name, timeout_seconds from public.scheduler_jobs
    where enabled and schedule is not null order by name`;
  if (jobs.length === 0) {
    print("No job is registered");
    return false;
  }
  print(`Running ${jobs.length} jobs: ${jobs.map(({ name }) => name).join(", ")}`);
  const startedAt = Date.now();
  const [since] = await sql<{ text: string }[]>`select clock_timestamp()::text as text`;
  const refused: string[][] = [];
  const ids: string[] = [];
  await Promise.all(jobs.map(async ({ name }) => {
    try {
      const [row] = await sql<
        { id: string }[]
      >`select scheduler.run_now(${name}, 'start --once') as id`;
      ids.push(row!.id);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      refused.push([name, "refused", "-", message]);
    }
  }));

  const limit = startedAt +
    1000 * (Math.max(...jobs.map((job) => job.timeout_seconds)) + VERDICT_SECONDS);
  const runs = await waitForAll(sql, ids, since!.text, limit, signal);
  const rows = [
    ...runs.map((run) => [
      run.job_name,
      isOver(run) ? run.status : `still ${run.status}`,
      run.duration_ms === null ? "-" : formatDuration(run.duration_ms),
      whatItFound(run),
    ]),
    ...refused,
  ].sort((a, b) => a[0]! < b[0]! ? -1 : 1);
  print("");
  print(formatTable([["JOB", "STATUS", "DURATION", "WHAT IT FOUND"], ...rows]));
  print("");
  const completed = runs.filter(({ status }) => status === "completed").length;
  const took = formatDuration(Date.now() - startedAt);
  const wanted = runs.length + refused.length;
  print(`${completed} of ${wanted} runs completed in ${took}`);
  return completed === wanted;
}

async function waitForAll(
  sql: Sql,
  ids: string[],
  since: string,
  limit: number,
  signal: AbortSignal,
): Promise<Run[]> {
  let nextPulse = Date.now() + PULSE_EVERY_MS;
  while (true) {
    const runs = await findRuns(sql, ids, since);
    if (runs.every(isOver) || Date.now() > limit || signal.aborted) return runs;
    if (Date.now() > nextPulse) {
      await sql`select scheduler.pulse(now(), 600000)`;
      nextPulse = Date.now() + PULSE_EVERY_MS;
    }
    await pause(POLL_MS, signal);
  }
}
