/** What the doctor looks up in the database. */
import type { Sql } from "postgres";
import type { CutJob, DatabaseCheck } from "./doctor-findings.ts";
import type { Io } from "./io.ts";
import { untilAnswered } from "./verify.ts";

export interface DatabaseFacts {
  /** Of the Daybook in it; undefined where there is none. */
  version: string | undefined;
  /** Of Vault. Undefined where it has none that could be used. */
  projectUrl?: string;
  secret?: string;
  stage: string;
  functions: string[];
  /** Jobs whose runs the platform ended in the last seven days. */
  cut: CutJob[];
}

export async function readDatabase(sql: Sql): Promise<DatabaseFacts> {
  const [there] = await sql`
    select to_regprocedure('scheduler.version()') is not null as daybook,
      to_regprocedure('scheduler.rotation_stage()') is not null as rotates`;
  const nothing: DatabaseFacts = { version: undefined, stage: "none", functions: [], cut: [] };
  if (!there!.daybook) return nothing;
  const [{ version }] = await sql<[{ version: string }]>`select scheduler.version() as version`;
  if (!there!.rotates) return { ...nothing, version };
  const [facts] = await sql`
    select scheduler.rotation_stage() as stage, scheduler.secret_users() -> 'functions' as functions,
      (select coalesce(jsonb_agg(jsonb_build_object('name', job_name, 'runs', runs) order by job_name), '[]')
        from (
          select job_name, count(*) as runs from scheduler_runs
          where status = 'failed' and completed_at > now() - interval '7 days'
            and verdict in ('interrupted', 'worker_limit')
          group by job_name) as ended) as cut`;
  const rows = await sql`
    select name, decrypted_secret as value from vault.decrypted_secrets
    where name = 'project_url' and scheduler.project_url_fault(decrypted_secret) is null
      or name = 'cron_secret' and scheduler.secret_fault(name, decrypted_secret, 32) is null`;
  const vault = Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  return {
    version,
    ...(vault.project_url ? { projectUrl: vault.project_url.replace(/\/+$/, "") } : {}),
    ...(vault.cron_secret ? { secret: vault.cron_secret } : {}),
    stage: facts!.stage,
    functions: facts!.functions,
    cut: facts!.cut,
  };
}

/** The checks of `scheduler.verify()`, once the function that was asked has answered, or when its time is over. */
export function verifyDatabase(
  sql: Sql,
  io: Pick<Io, "now" | "pause">,
): Promise<readonly DatabaseCheck[]> {
  return untilAnswered(
    async () => [...await sql<DatabaseCheck[]>`select * from scheduler.verify()`],
    (checks) => checks,
    io,
  );
}
