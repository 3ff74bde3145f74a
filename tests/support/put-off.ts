import type { Sql } from "postgres";

/** Puts the next occurrence of the job, or of all jobs, off by a year, so that none comes due while a test runs. */
export async function putOff(sql: Sql, job: string | null = null): Promise<void> {
  await sql`
    update scheduler_jobs set next_run_at = next_run_at + interval '1 year'
    where (${job}::text is null or name = ${job}) and next_run_at < now() + interval '1 year'`;
}
