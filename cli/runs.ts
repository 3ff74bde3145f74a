/** Runs of the ledger, as the terminal shows them. */
import type { Sql } from "postgres";
import { formatDuration } from "./format-table.ts";

export interface Run {
  id: string;
  job_name: string;
  status: string;
  trigger: string;
  attempt: number;
  duration_ms: number | null;
  created_at: Date;
  ended_at: Date;
  result: { summary?: unknown } | null;
  error_message: string | null;
  skip_reason: string | null;
  /** More than 1 where the row stands for a gap. */
  occurrences: number;
  verdict: string | null;
}

const OVER = ["completed", "failed", "deferred", "skipped", "missed", "cancelled"];

/** True when nothing more will happen to this run. */
export function isOver(run: Pick<Run, "status">): boolean {
  return OVER.includes(run.status);
}

/** The runs with these ids, and those that were enqueued since that time (of the database's clock). */
export async function findRuns(sql: Sql, ids: string[], enqueuedSince: string): Promise<Run[]> {
  return await sql<Run[]>`
    select id, job_name, status, trigger, attempt, duration_ms, created_at, result, error_message,
      skip_reason, occurrences, verdict, coalesce(completed_at, created_at) as ended_at
    from public.scheduler_runs
    where id in (select jsonb_array_elements_text(${sql.json(ids)})::uuid)
      or (trigger = 'enqueued' and created_at >= ${enqueuedSince})`;
}

/** The runs that have ended since, oldest first. */
export function endedSince(sql: Sql, since: Date): Promise<Run[]> {
  return sql<Run[]>`
    select id, job_name, status, trigger, attempt, duration_ms, created_at, result, error_message,
      skip_reason, occurrences, verdict, coalesce(completed_at, created_at) as ended_at
    from public.scheduler_runs
    where coalesce(completed_at, created_at) >= ${since} and status in ${sql(OVER)}
    order by ended_at, id`;
}

/** What it found, or why it did not: one line. */
export function whatItFound(run: Run): string {
  const summary = typeof run.result?.summary === "string" ? run.result.summary : undefined;
  const reason = run.error_message ?? run.skip_reason;
  const many = run.occurrences > 1
    ? `${run.occurrences.toLocaleString("en-US")} occurrences`
    : undefined;
  const text = run.status === "completed"
    ? summary ?? "done"
    : [run.verdict, many, reason].filter(Boolean).join(": ") || "no reason given";
  return text.replaceAll(/\s+/g, " ");
}

/** Time, job, status, duration, what it found. */
export function describeRun(run: Run): string[] {
  const time = run.ended_at.toTimeString().slice(0, 8);
  const attempt = run.attempt > 1 ? ` (attempt ${run.attempt})` : "";
  const duration = run.duration_ms === null ? "-" : formatDuration(run.duration_ms);
  return [time, run.job_name + attempt, run.status, duration, whatItFound(run)];
}
