import postgres from "postgres";
import { applyPack, packSql, readPacks } from "../local/packs.ts";
import { withScratchDatabase } from "../local/scratch-database.ts";
import type { JobOptions } from "./new-job.ts";

/**
 * What the scheduler itself says against a job, such as a schedule that never occurs; null: nothing. It registers the job
 * in a Postgres of its own, which takes some seconds.
 */
export async function registrationFault(
  { name, schedule, timeZone }: JobOptions,
): Promise<string | null> {
  const core = (await readPacks()).find((pack) => pack.name === "scheduler")!;
  return await withScratchDatabase(async ({ url }) => {
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    try {
      await sql`select scheduler.register_job(${name}, ${schedule}, time_zone => ${timeZone})`;
      return null;
    } catch (error) {
      if (!(error instanceof postgres.PostgresError) || error.code !== "22023") throw error;
      return [error.message, error.hint].filter((part) => part).join("; ");
    } finally {
      await sql.end();
    }
  }, { prepare: async (sql) => await applyPack(sql, core.name, await packSql(core)) });
}
