/** The database's part of a rotation: Vault, pg_net's queue, and one rotation at a time. */
import type { Sql, TransactionSql } from "postgres";
import { RotationError } from "./rotate-secret-steps.ts";
import type { Rotation, RotationDatabase } from "./rotate-secret-steps.ts";

/** For the audit log. */
export interface Cause {
  reason: string;
  author: string;
}

/** What two rotations at once would both take; held by a transaction, which a pooler keeps on one connection. */
const takeTurn =
  `select pg_try_advisory_xact_lock(hashtextextended('daybook rotate-secret', 0)) as taken,
  set_config('idle_in_transaction_session_timeout', '0', true)`;

/**
 * Runs `fn` while no other rotation of this database is at work.
 *
 * @param sql It keeps one of its connections busy.
 * @throws RotationError when another one is.
 */
export async function alone<Result>(sql: Sql, fn: () => Promise<Result>): Promise<Result> {
  return await sql.begin(async (turn: TransactionSql) => {
    const [row] = await turn.unsafe(takeTurn);
    if (!row!.taken) {
      throw new RotationError("Another rotation is at work", "wait until it has ended");
    }
    return await fn();
  }) as Result;
}

export function rotationDatabase(sql: Sql, { reason, author }: Cause): RotationDatabase {
  return {
    async begin(): Promise<Rotation> {
      await sql`select scheduler.begin_secret_rotation(${reason}, ${author})`;
      // One statement, so one moment: the stage belongs to the secrets.
      const [row] = await sql`
        select scheduler.rotation_stage() as stage, scheduler.secret_users() as users,
          (select jsonb_object_agg(name, decrypted_secret) from vault.decrypted_secrets
            where name in ('cron_secret', 'cron_secret_next', 'cron_secret_previous')) as secrets`;
      const { stage, users, secrets } = row!;
      const [old, next] = stage === "prepared"
        ? [secrets.cron_secret, secrets.cron_secret_next]
        : [secrets.cron_secret_previous, secrets.cron_secret];
      return { stage, old, new: next, ...users };
    },
    async sendsRequests() {
      const [row] = await sql`
        select exists (select from scheduler_jobs
          where enabled and function_name is not null and secret_name = 'cron_secret') as sends`;
      return row!.sends;
    },
    async switchSecret() {
      await sql`select scheduler.switch_secret(${reason}, ${author})`;
    },
    async mark() {
      const [row] = await sql`select pg_snapshot_xmax(pg_current_snapshot())::text as mark`;
      return row!.mark;
    },
    async isOpenBefore(mark) {
      // A transaction that has written nothing yet has no id; how far back it sees, its session shows.
      const [row] = await sql`
        select pg_snapshot_xmin(pg_current_snapshot()) < ${mark}::xid8 or exists (
          select from pg_stat_activity
          where age(backend_xmin) > age(${mark}::xid8::xid) and pid <> pg_backend_pid()
            and datname = current_database() and backend_type not in ('walsender', 'autovacuum worker')) as open`;
      return row!.open;
    },
    async oldRequests() {
      const [row] = await sql`select scheduler.requests_with_old_secret()::int as requests`;
      return row!.requests;
    },
    async callThroughDatabase() {
      const [row] = await sql<{ state: "ok" | "failed" | "asked"; detail: string }[]>`
        select state, detail from scheduler.check_function(clock_timestamp()) where check_name = 'secret'`;
      return row ?? { state: "failed", detail: "Vault lacks what a request needs" };
    },
    async end() {
      await sql`select scheduler.end_secret_rotation(${reason}, ${author})`;
    },
  };
}
