/** What `plan` and `apply` do in the database. */
import postgres, { type Sql } from "postgres";
import { errorMessage } from "../../shared/job/errors.ts";
import type { JobArgument } from "../../local/job-arguments.ts";
import { connectTo, unreachable } from "./database.ts";
import { CommandError, exitCodes } from "./io.ts";
import type { Facts, SchedulesPlan } from "./schedules-compare.ts";
import type { WantedJob } from "./schedules-file.ts";

/**
 * A statement may take as long as a thousand jobs need. Applying waits for locks as long as a migration may hold them; a
 * plan gives up sooner, because dispatches wait for the rows of jobs that it has locked already.
 */
const limits = { statementMs: 60_000, applyLock: "30s", planLock: "2s" };

/** Runs `fn` with a connection, which it closes; errors of the database become messages for people. */
export async function withRegistry<T>(url: string, fn: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connectTo(url, "daybook schedules", { statementTimeoutMs: limits.statementMs });
  try {
    return await fn(sql);
  } catch (error) {
    throw error instanceof CommandError ? error : asCommandError(url, error);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

export async function readArguments(sql: Sql): Promise<JobArgument[]> {
  return [...await sql<JobArgument[]>`select * from scheduler.job_arguments()`];
}

/** Of these packs, those that the database does not have. */
export async function missingPacks(sql: Sql, packs: readonly string[]): Promise<string[]> {
  const rows = await sql<{ pack: string }[]>`
    select pack from unnest(${[...packs]}::text[]) as pack
    where to_regnamespace(replace(pack, '-', '_')) is null`;
  return rows.map(({ pack }) => pack);
}

const asEntries = (jobs: readonly WantedJob[]) =>
  jobs.map(({ job, source, entry }) => ({ job, source, entry }));

/** What applying would do; nothing stays of it. */
export async function rehearse(sql: Sql, jobs: readonly WantedJob[]): Promise<Facts> {
  return await sql.begin(async (sql) => {
    await setLockTimeout(sql, limits.planLock);
    const [row] = await sql<{ facts: Facts }[]>`
      select scheduler.rehearse_schedules(${sql.json(asEntries(jobs))}) as facts`;
    return row!.facts;
  });
}

/**
 * Applies, in one transaction.
 *
 * @param accept Makes the plan of what was done; what it throws undoes all of it.
 */
export async function applySchedules(
  sql: Sql,
  jobs: readonly WantedJob[],
  { reason, author }: { reason: string; author: string },
  accept: (facts: Facts) => SchedulesPlan,
): Promise<SchedulesPlan> {
  return await sql.begin(async (sql) => {
    await setLockTimeout(sql, limits.applyLock);
    const [row] = await sql<{ facts: Facts }[]>`
      select scheduler.apply_schedules(${
      sql.json(asEntries(jobs))
    }, ${reason}, ${author}) as facts`;
    return accept(row!.facts);
  });
}

async function setLockTimeout(sql: postgres.TransactionSql, limit: string): Promise<void> {
  await sql`select set_config('lock_timeout', ${limit}, true)`;
}

function asCommandError(url: string, error: unknown): CommandError {
  const code = error instanceof postgres.PostgresError ? error.code : "";
  const refused = (message: string, hint?: string) =>
    new CommandError(exitCodes.refused, message, hint);
  // No such schema, function or table; not the owner.
  if (["3F000", "42883", "42P01"].includes(code)) {
    return refused(
      `The database has no Daybook, or an older one: ${errorMessage(error)}`,
      "supabase db push",
    );
  }
  if (code === "42501") {
    return refused(
      `The registry is its owner's: ${errorMessage(error)}`,
      "connect as the role that owns the schema scheduler (postgres)",
    );
  }
  if (["55P03", "40P01", "40001"].includes(code)) {
    return refused(`Another transaction holds the registry: ${errorMessage(error)}`, "try again");
  }
  if (error instanceof postgres.PostgresError && /^22/.test(code)) {
    return refused(`The database says: ${error.message}`, error.hint);
  }
  return unreachable(url, error);
}
