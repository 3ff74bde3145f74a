/** A database of Daybook as plain SQL: what its migrations make, its rows, pg_cron's entries as calls. */
import type { Sql } from "postgres";
import type { Migration } from "./migrations.ts";

/**
 * Everything that `migrations` made and what has become of it since, to be run as a superuser on a database with the roles
 * and extensions of a Supabase project. Rows of the extensions themselves (pg_net's requests, Vault's secrets) are not in it.
 */
export async function dumpDatabase(sql: Sql, migrations: Migration[]): Promise<string> {
  const tables = await sql<{ name: string; columns: string; sequence: string | null }[]>`
    select format('%I.%I', nspname, relname) as name,
      string_agg(quote_ident(attname), ', ' order by attnum) filter (where attgenerated = '') as columns,
      min(pg_get_serial_sequence(format('%I.%I', nspname, relname), attname)) as sequence
    from pg_class join pg_namespace as n on n.oid = relnamespace join pg_attribute on attrelid = pg_class.oid
    where relkind = 'r' and attnum > 0 and not attisdropped
      and (nspname = 'public' or has_schema_privilege('postgres', n.oid, 'create') and nspname not like 'pg\\_%')
      and nspname not in ('cron', 'net', 'vault', 'extensions', 'supabase_migrations', 'information_schema')
      and not exists (select from pg_depend where objid = pg_class.oid and deptype = 'e')
    group by 1 order by 1`;
  const parts = [
    "set role postgres;",
    ...migrations.map(({ text }) => text),
    "reset role;",
    // Rows are as they were: no trigger counts or changes them again.
    "set session_replication_role = replica;",
    `truncate ${tables.map(({ name }) => name).join(", ")};`,
  ];
  for (const { name, columns, sequence } of tables) {
    const values = columns.split(", ").map((column) => `quote_nullable(${column}::text)`);
    const rows = await sql.unsafe(
      `select concat_ws(', ', ${values.join(", ")}) as row from ${name}`,
    );
    if (rows.length > 0) {
      parts.push(
        `insert into ${name} (${columns}) overriding system value values\n` +
          `${rows.map(({ row }) => `  (${row})`).join(",\n")};`,
      );
    }
    if (sequence !== null) {
      const [last] = await sql.unsafe(`select last_value::text, is_called from ${sequence}`);
      parts.push(`select setval('${sequence}', ${last!.last_value}, ${last!.is_called});`);
    }
  }
  parts.push("set session_replication_role = origin;", "set role postgres;");
  const entries =
    await sql`select jobname, schedule, command, active from cron.job order by jobname`;
  for (const { jobname, schedule, command, active } of entries) {
    const call = `cron.schedule(${literal(jobname)}, ${literal(schedule)}, ${literal(command)})`;
    parts.push(
      active ? `select ${call};` : `select cron.alter_job(job_id := ${call}, active := false);`,
    );
  }
  return [...parts, "reset role;", ""].join("\n");
}

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
