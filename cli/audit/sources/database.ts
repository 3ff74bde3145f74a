/** Reads the entries of a database and what it knows of them. Nothing is changed: the transaction is read-only. */
import postgres, { type Sql, type TransactionSql } from "postgres";
import type { Entry } from "../entry.ts";
import type { Answer, DatabaseFacts, Run } from "../facts.ts";
import { workOfSql } from "../work.ts";
import { isZone } from "../zones.ts";

export interface ReadDatabase {
  entries: Entry[];
  facts: DatabaseFacts;
  unknown: string[];
}

/** The newest rows are enough: these tables grow for ever, and have no index on their times. */
const newest = 20_000;

/** @throws Error where `cron.job` itself cannot be read: then there is nothing to audit. */
export async function readDatabase(sql: Sql): Promise<ReadDatabase> {
  return await sql.begin("isolation level repeatable read read only", async (transaction) => {
    const unknown: string[] = [];
    const read = <Row>(what: string, query: (sql: TransactionSql) => Promise<Row>) =>
      readPart(transaction, what, query, unknown);
    const entries = await readEntries(transaction, unknown);
    const [here] = await transaction<{ name: string; logs: boolean }[]>`
      select current_database() as name,
        coalesce(current_setting('cron.log_run', true), 'on') = 'on' as logs`;
    const runDetails = await read("the size of cron.job_run_details", readRunDetails);
    const runs = await read("cron.job_run_details", readRuns);
    const allAnswers = await read("net._http_response", (sql) => readAnswers(sql));
    // Of what is older than the runs that were read, nobody knows who fired.
    const since = runs?.length === newest ? runs.at(-1)!.startedAt : null;
    const answers = since === null
      ? allAnswers
      : allAnswers?.filter(({ createdAt }) => createdAt.getTime() > since.getTime() + 2_000);
    const settings = await read("the settings of databases and roles", readSettings);
    const defaultTimeoutMs = await read("the default timeout of net.http_post", readDefaultTimeout);
    const facts: DatabaseFacts = {
      database: here!.name,
      databases: await transaction`
        select datname as name, datallowconn as "allowsConnections" from pg_catalog.pg_database`,
      roles: await transaction`
        select rolname as name, rolcanlogin as "canLogin" from pg_catalog.pg_roles`,
      logsRuns: here!.logs,
      missing: await readMissing(
        transaction,
        entries.filter(({ database }) => database === here!.name),
      ),
      ...(runDetails === undefined ? {} : { runDetails }),
      ...(runs === undefined ? {} : { runs }),
      ...(answers === undefined ? {} : { answers }),
      ...(settings === undefined ? {} : { settings }),
      ...(defaultTimeoutMs === undefined ? {} : { defaultTimeoutMs }),
    };
    return { entries, facts, unknown };
  });
}

/** A part that may be missing, or not readable for this role, is said and left out. */
async function readPart<Row>(
  transaction: TransactionSql,
  what: string,
  query: (sql: TransactionSql) => Promise<Row>,
  unknown: string[],
): Promise<Row | undefined> {
  try {
    return await transaction.savepoint(query) as Row;
  } catch (error) {
    if (!(error instanceof postgres.PostgresError)) throw error;
    unknown.push(`What ${what} would tell: ${error.message}.`);
    return undefined;
  }
}

interface EntryRow {
  jobid: string;
  jobname: string | null;
  schedule: string;
  command: string;
  database: string;
  username: string;
  active: boolean;
}

/** The entries of pg_cron, by their ids. `unknown` gets what the role cannot see. */
export async function readEntries(sql: TransactionSql, unknown: string[]): Promise<Entry[]> {
  const rows = await sql<EntryRow[]>`
    select jobid::text, to_jsonb(job) ->> 'jobname' as jobname, schedule, command, database, username,
      coalesce((to_jsonb(job) ->> 'active')::boolean, true) as active
    from cron.job order by jobid`;
  const [clock] = await sql<{ zone: string; role: string; seesAll: boolean }[]>`
    select coalesce(nullif(current_setting('cron.timezone', true), 'GMT'), 'UTC') as zone, current_user as role,
      coalesce((select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user), false)
        as "seesAll"`;
  const { zone, role, seesAll } = clock!;
  if (!seesAll) {
    unknown.push(`Entries of other roles: cron.job shows ${role} its own alone.`);
  }
  if (!isZone(zone)) unknown.push(`The zone of pg_cron, ${zone}: taken as UTC.`);
  return rows.map(({ jobid, jobname, schedule, command, database, username, active }) => ({
    name: jobname ?? `job ${jobid}`,
    ...(jobname === null ? { isUnnamed: true } : {}),
    schedule,
    zone: isZone(zone) ? zone : "UTC",
    engine: "pg_cron",
    command,
    work: workOfSql(command),
    where: `cron.job ${jobid}`,
    active,
    jobId: jobid,
    database,
    username,
  }));
}

async function readRunDetails(sql: TransactionSql): Promise<DatabaseFacts["runDetails"] & object> {
  const [row] = await sql<{ bytes: string; rows: string; oldest: Date | null }[]>`
    select pg_catalog.pg_total_relation_size('cron.job_run_details')::text as bytes,
      greatest((select reltuples from pg_catalog.pg_class where oid = 'cron.job_run_details'::regclass),
        (select count(*) from (select from cron.job_run_details limit 20000) as newest))::bigint::text as rows,
      (select start_time from cron.job_run_details where start_time is not null order by runid limit 1) as oldest`;
  return { bytes: Number(row!.bytes), rows: Number(row!.rows), oldest: row!.oldest };
}

async function readRuns(sql: TransactionSql | Sql): Promise<Run[]> {
  return await sql<Run[]>`
    select jobid::text as "jobId", coalesce(status, '') as status, left(coalesce(return_message, ''), 500) as message,
      start_time as "startedAt", end_time as "endedAt"
    from cron.job_run_details order by runid desc limit ${newest}`;
}

/** Those that pg_net keeps, or that came since. */
export async function readAnswers(sql: TransactionSql | Sql, since?: Date): Promise<Answer[]> {
  return await sql<Answer[]>`
    select id::text, status_code as "statusCode", coalesce(timed_out, false) as "timedOut",
      left(error_msg, 500) as error, created as "createdAt"
    from net._http_response where created > ${since ?? new Date(0)}
    order by created desc limit ${newest}`;
}

/** The names alone tell whose they are; a value is looked at, and never shown. */
async function readSettings(sql: TransactionSql): Promise<DatabaseFacts["settings"] & object> {
  return await sql<{ name: string; value: string; of: string }[]>`
    select split_part(entry, '=', 1) as name, substr(entry, strpos(entry, '=') + 1) as value,
      concat_ws(', ', 'database ' || datname, 'role ' || rolname) as of
    from pg_catalog.pg_db_role_setting as setting
    cross join unnest(setting.setconfig) as entry
    left join pg_catalog.pg_database as place on place.oid = setting.setdatabase
    left join pg_catalog.pg_roles as role on role.oid = setting.setrole
    where split_part(entry, '=', 1) like '%.%'`;
}

async function readDefaultTimeout(sql: TransactionSql): Promise<number | undefined> {
  const [row] = await sql<{ list: string }[]>`
    select pg_catalog.pg_get_function_arguments(function.oid) as list
    from pg_catalog.pg_proc as function
    join pg_catalog.pg_namespace as namespace on namespace.oid = function.pronamespace
    where namespace.nspname = 'net' and function.proname = 'http_post' limit 1`;
  const [, ms] = /timeout_milliseconds integer DEFAULT (\d+)/.exec(row?.list ?? "") ?? [];
  return ms === undefined ? undefined : Number(ms);
}

/** What commands name and the database has in no schema, or not in the schema that they say. */
async function readMissing(sql: TransactionSql, entries: Entry[]) {
  const missing: Record<string, string[]> = {};
  for (const { where, work } of entries) {
    for (const { kind, schema = null, name } of work.needs) {
      const [row] = await sql<{ found: boolean }[]>`
        select case ${kind}
          when 'table' then exists (
            select from pg_catalog.pg_class as relation
            join pg_catalog.pg_namespace as namespace on namespace.oid = relation.relnamespace
            where relation.relname = ${name} and namespace.nspname = coalesce(${schema}, namespace.nspname))
          else exists (
            select from pg_catalog.pg_proc as function
            join pg_catalog.pg_namespace as namespace on namespace.oid = function.pronamespace
            where function.proname = ${name} and namespace.nspname = coalesce(${schema}, namespace.nspname))
          end as found`;
      if (row!.found) continue;
      (missing[where] ??= []).push(`${kind} ${[schema, name].filter(Boolean).join(".")}`);
    }
  }
  return missing;
}
