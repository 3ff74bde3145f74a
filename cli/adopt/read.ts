/** Reads what an adoption has to know. Nothing is changed: the transaction is read-only. */
import postgres, { type Sql, type TransactionSql } from "postgres";
import type { Entry } from "../audit/entry.ts";
import { readEntries } from "../audit/sources/database.ts";
import { requestsOf } from "./candidates.ts";
import type { Proposal, RegisteredJob } from "./proposal.ts";
import { plainSecretsOf, type Project } from "./job-request.ts";

/** An entry that a job took the place of. Its command stays where it is kept. */
export interface AdoptedEntry {
  jobName: string;
  registered: boolean;
  name: string | null;
  schedule: string;
  adoptedAt: Date;
}

export interface ReadForAdoption {
  entries: Entry[];
  jobs: RegisteredJob[];
  project: Project;
  database: string;
  role: string;
  /** Undefined: there is no Daybook. */
  version?: string;
  /** Whether the Daybook that is there can adopt entries. */
  canAdopt: boolean;
  adopted: AdoptedEntry[];
  /** The versions of the migrations that the Supabase CLI has applied. */
  applied: string[];
  /** Secrets that commands hold in plain text, whatever they look like. */
  plainSecrets: string[];
  unknown: string[];
}

/**
 * @param served Functions that Daybook serves, besides those that the registry shows.
 * @param projectUrl The project's URL where Vault has none.
 * @throws Error where `cron.job` cannot be read.
 */
export async function readForAdoption(
  sql: Sql,
  { served, projectUrl }: { served: readonly string[]; projectUrl: string | undefined },
): Promise<ReadForAdoption> {
  return await sql.begin("isolation level repeatable read read only", async (transaction) => {
    const unknown: string[] = [];
    const entries = await readEntries(transaction, unknown);
    const [here] = await transaction<{
      database: string;
      role: string;
      hasDaybook: boolean;
      canAdopt: boolean;
      hasMigrations: boolean;
    }[]>`
      select current_database() as database, current_user as role,
        to_regclass('public.scheduler_jobs') is not null
          and to_regprocedure('scheduler.version()') is not null as "hasDaybook",
        to_regprocedure('scheduler.adopt_entries(jsonb, boolean, text, text)') is not null as "canAdopt",
        to_regclass('supabase_migrations.schema_migrations') is not null as "hasMigrations"`;
    const { database, role, hasDaybook, canAdopt, hasMigrations } = here!;
    const jobs = hasDaybook ? await readJobs(transaction) : [];
    const [row] = hasDaybook
      ? await transaction<{ version: string }[]>`select scheduler.version() as version`
      : [];
    const requests = requestsOf(entries);
    const settings = await readSettings(
      transaction,
      requests.flatMap(({ url, headers }) =>
        [...url, ...headers.flatMap(({ value }) => value)]
          .flatMap((piece) => "setting" in piece ? piece.setting : [])
      ),
    );
    const plainSecrets = requests.flatMap(plainSecretsOf).flatMap((from) => {
      const secret = "text" in from ? from.text : settings.get(from.setting);
      return secret ? [secret] : [];
    });
    const vault = await readVault(transaction, plainSecrets, unknown);
    const url = vault?.url ?? projectUrl;
    return {
      entries,
      jobs: jobs.map(({ serves: _, ...job }) => job),
      project: {
        ...(url === undefined ? {} : { url }),
        urlNames: new Set(vault?.urlNames),
        served: new Set([...served, ...jobs.flatMap(({ serves }) => serves ?? [])]),
        ...(vault === undefined ? {} : { secrets: vault.lengths }),
        nameOfSecret: vault?.nameOfSecret ?? new Map(),
        settings,
      },
      database,
      role,
      ...(row === undefined ? {} : { version: row.version }),
      canAdopt,
      adopted: canAdopt ? await readAdopted(transaction) : [],
      applied: hasMigrations
        ? (await transaction<{ version: string }[]>`
            select version from supabase_migrations.schema_migrations`).map(({ version }) =>
          version
        )
        : [],
      plainSecrets,
      unknown,
    };
  });
}

/** The jobs of a registry of any version. `serves`: the function that is sent the job's runs and reports on them. */
async function readJobs(
  sql: TransactionSql,
): Promise<(RegisteredJob & { serves: string | null })[]> {
  return await sql`
    select name, to_jsonb(jobs) ->> 'alias' as alias, target, schedule, time_zone as "timeZone",
      payload::text as payload, secret_name as "secretName", enabled,
      to_jsonb(jobs) ->> 'run_if' as "runIf", to_jsonb(jobs) ->> 'stretch_after' as "stretchAfter", array_remove(array[
        case when to_jsonb(jobs) -> 'calendars' <> '[]' then 'calendars' end,
        case when coalesce(to_jsonb(jobs) ->> 'paused_at', to_jsonb(jobs) ->> 'group_paused_at') is not null
          then 'pause' end], null) as hindrances,
      case receipt when 'function' then function_name end as serves
    from public.scheduler_jobs as jobs order by name`;
}

async function readAdopted(sql: TransactionSql): Promise<AdoptedEntry[]> {
  return await sql`
    select job_name as "jobName", registered, name, schedule, adopted_at as "adoptedAt"
    from scheduler.adopted_entries order by id`;
}

async function readSettings(sql: TransactionSql, names: string[]): Promise<Map<string, string>> {
  const rows = await sql<{ name: string; value: string | null }[]>`
    select name, current_setting(name, true) as value from unnest(${names}::text[]) as name`;
  return new Map(rows.flatMap(({ name, value }) => value ? [[name, value] as const] : []));
}

/** Of Vault only names, lengths and the project's URL leave the database. Undefined: it cannot be read. */
async function readVault(sql: TransactionSql, plainSecrets: string[], unknown: string[]) {
  try {
    return await sql.savepoint(async (sql) => {
      const rows = await sql<
        { name: string; length: number; isUrl: boolean; url: string | null }[]
      >`
        with secrets as (
          select name, decrypted_secret as secret, rtrim(decrypted_secret, '/') as url
          from vault.decrypted_secrets where name is not null
        ), project as (
          select url from secrets
          where name = 'project_url' and url ~ '^https?://([a-zA-Z0-9.-]+|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?$'
        )
        select name, length(secret) as length, coalesce(url = (select url from project), false) as "isUrl",
          case name when 'project_url' then (select url from project) end as url
        from secrets order by name`;
      const found = await sql<{ name: string; secret: string }[]>`
        select name, decrypted_secret as secret from vault.decrypted_secrets
        where decrypted_secret = any(${plainSecrets}) and name is not null order by name desc`;
      const url = rows.find(({ url }) => url !== null)?.url;
      return {
        ...(url ? { url } : {}),
        urlNames: rows.filter(({ isUrl }) => isUrl).map(({ name }) => name),
        lengths: new Map(rows.map(({ name, length }) => [name, length])),
        nameOfSecret: new Map(found.map(({ name, secret }) => [secret, name])),
      };
    });
  } catch (error) {
    if (!(error instanceof postgres.PostgresError)) throw error;
    unknown.push(`What Vault holds: ${error.message}.`);
    return undefined;
  }
}

/**
 * What the database says against the payloads of proposed jobs and, where Daybook is there, against their times; by
 * their names.
 */
export async function readFaults(
  sql: Sql,
  jobs: readonly Proposal[],
  canAdopt: boolean,
): Promise<Map<string, string>> {
  const faults = new Map<string, string>();
  await sql.begin("read only", async (transaction) => {
    for (const { name, schedule, timeZone, request: { payload } } of jobs) {
      try {
        await transaction.savepoint((sql) => sql`select ${payload}::text::jsonb`);
        if (!canAdopt) continue;
        const [row] = await transaction.savepoint((sql) =>
          sql`select scheduler.compile_schedule(${schedule}, ${timeZone}) as entry`
        );
        if (row!.entry === null) faults.set(name, `the schedule ${schedule} never occurs`);
      } catch (error) {
        if (!(error instanceof postgres.PostgresError)) throw error;
        faults.set(name, error.message);
      }
    }
  });
  return faults;
}

/** The URL of the project that a database of Supabase belongs to, as the database's own URL says it. */
export function projectUrlOf(databaseUrl: string): string | undefined {
  const { hostname, username } = new URL(databaseUrl);
  const ref = /^db\.([a-z0-9]{20})\.supabase\.co$/.exec(hostname)?.[1] ??
    (/\.pooler\.supabase\.com$/.test(hostname)
      ? /\.([a-z0-9]{20})$/.exec(username)?.[1]
      : undefined);
  return ref === undefined ? undefined : `https://${ref}.supabase.co`;
}
