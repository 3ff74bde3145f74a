/** What `plan` and `apply` do in the database. */
import type { PostgresError, Sql } from "postgres";
import { errorMessage } from "../../shared/job/errors.ts";
import type { JobArgument } from "../../local/job-arguments.ts";
import type { Pack } from "../../local/packs.ts";
import { connectTo, isUnreachable, unreachable } from "./database.ts";
import { CommandError, exitCodes } from "./io.ts";
import type { Facts, SchedulesPlan } from "./schedules-compare.ts";
import type { WantedJob } from "./schedules-file.ts";

/**
 * A statement may take as long as a thousand jobs need. Applying waits for locks as long as a migration may hold them; a
 * plan gives up sooner, because dispatches wait for the rows of jobs that it has locked already.
 */
const limits = { statementMinutes: 10, applyLock: "30s", planLock: "2s" };

/** Runs `fn` with the registry of a database, to which it closes the connection. */
export async function withRegistry<T>(
  url: string,
  fn: (registry: Registry) => Promise<T>,
): Promise<T> {
  const registry = new Registry(url);
  try {
    return await fn(registry);
  } finally {
    await registry.close();
  }
}

/** All of it throws CommandError for what the database, or the way to it, says against it. */
export class Registry {
  readonly #sql: Sql;
  #closed = 0;

  constructor(private readonly url: string) {
    this.#sql = connectTo(url, "daybook schedules", {
      statementTimeoutMs: limits.statementMinutes * 60_000,
      onClose: () => this.#closed += 1,
    });
  }

  async close(): Promise<void> {
    await this.#sql.end({ timeout: 5 });
  }

  async arguments(): Promise<JobArgument[]> {
    return await this.#ask(async (sql) => [
      ...await sql<JobArgument[]>`select * from scheduler.job_arguments()`,
    ]);
  }

  /** Of these packs, those that the database does not have. */
  async missing(packs: readonly Pack[]): Promise<Pack[]> {
    const schemas = packs.map(({ schema }) => schema);
    const rows = await this.#ask((sql) =>
      sql<{ schema: string }[]>`
        select schema from unnest(${schemas}::text[]) as schema where to_regnamespace(schema) is null`
    );
    return packs.filter((pack) => rows.some(({ schema }) => schema === pack.schema));
  }

  /** What applying would do; nothing stays of it. */
  async rehearse(jobs: readonly WantedJob[]): Promise<Facts> {
    return await this.#ask((sql) =>
      this.#transaction(limits.planLock, async () => {
        const [row] = await sql<{ facts: Facts }[]>`
          select scheduler.rehearse_schedules(${sql.json(asEntries(jobs))}) as facts`;
        return row!.facts;
      })
    );
  }

  /**
   * Applies, in one transaction.
   *
   * @param accept Makes the plan of what was done; what it throws undoes all of it.
   */
  async apply(
    jobs: readonly WantedJob[],
    { reason, author }: { reason: string; author: string },
    accept: (facts: Facts) => SchedulesPlan,
  ): Promise<SchedulesPlan> {
    return await this.#ask((sql) =>
      this.#transaction(limits.applyLock, async () => {
        const [row] = await sql<{ facts: Facts }[]>`
          select scheduler.apply_schedules(${
          sql.json(asEntries(jobs))
        }, ${reason}, ${author}) as facts`;
        try {
          return accept(row!.facts);
        } catch (error) {
          throw new NotAccepted(error);
        }
      }), "it did all or nothing: deno task daybook plan says which");
  }

  /**
   * Written out, not with sql.begin(): where the connection breaks, that writes its rollback into it and throws what
   * nobody can catch (porsager/postgres#1208). A connection that replaces it is in no transaction, and gets no statement.
   */
  async #transaction<T>(lockTimeout: string, fn: () => Promise<T>): Promise<T> {
    const sql = this.#sql;
    const closed = this.#closed;
    const assertOpen = () => {
      if (this.#closed > closed) {
        throw Object.assign(new Error("the connection broke"), { code: "CONNECTION_CLOSED" });
      }
    };
    await sql`begin`;
    try {
      assertOpen();
      await sql`select set_config('lock_timeout', ${lockTimeout}, true)`;
      assertOpen();
      const result = await fn();
      assertOpen();
      await sql`commit`;
      assertOpen();
      return result;
    } catch (error) {
      // Otherwise the database undoes it as the connection ends.
      if (error instanceof NotAccepted) await sql`rollback`.catch(() => {});
      throw error;
    }
  }

  async #ask<T>(fn: (sql: Sql) => Promise<T>, hintIfLost?: string): Promise<T> {
    try {
      return await fn(this.#sql);
    } catch (error) {
      throw error instanceof NotAccepted
        ? error.cause
        : asCommandError(this.url, error, hintIfLost);
    }
  }
}

/** Undoes a transaction; its cause is no error of the database. */
class NotAccepted extends Error {
  constructor(cause: unknown) {
    super("not accepted", { cause });
  }
}

const asEntries = (jobs: readonly WantedJob[]) =>
  jobs.map(({ job, source, entry }) => ({ job, source, entry }));

/**
 * An error of a query as one for people.
 *
 * @param hintIfLost What helps where the way to it broke while it was asked.
 */
export function asCommandError(url: string, error: unknown, hintIfLost?: string): CommandError {
  if (isUnreachable(error)) {
    return unreachable(url, error, isBroken(error) ? hintIfLost : undefined);
  }
  const { code, hint: ownHint } = error as PostgresError;
  const refused = (message: string, hint = ownHint) =>
    new CommandError(exitCodes.refused, `${message}: ${errorMessage(error)}`, hint);
  // No such schema, function or table.
  if (["3F000", "42883", "42P01"].includes(code)) {
    return refused("The database has no Daybook, or an older one", "supabase db push");
  }
  if (code === "42501") {
    return refused(
      "The registry is its owner's",
      "connect as the role that owns the schema scheduler (postgres)",
    );
  }
  if (["55P03", "40P01", "40001"].includes(code)) {
    return refused("Another transaction holds the registry", "try again");
  }
  if (code === "57014") {
    return refused(
      `The database stopped it, which it does after ${limits.statementMinutes} minutes`,
      "nothing was changed; try again when the database has less to do",
    );
  }
  return refused("The database says");
}

/** A connection that was there is no more. */
function isBroken(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" &&
    /^(CONNECTION_(CLOSED|ENDED|DESTROYED)|ECONNRESET|EPIPE|57P)/.test(code);
}
