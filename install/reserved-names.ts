/** Names that a job's SQL cannot have: its schema and its function are named like it. */

/** Schemas that a project has of Postgres, of Supabase and of its extensions. */
const SCHEMAS = new Set([
  "_analytics",
  "_realtime",
  "auth",
  "cron",
  "extensions",
  "graphql",
  "graphql_public",
  "information_schema",
  "net",
  "pgbouncer",
  "pgmq",
  "pgsodium",
  "pgsodium_masks",
  "pgtle",
  "public",
  "realtime",
  "storage",
  "supabase_functions",
  "supabase_migrations",
  "tests",
  "topology",
  "vault",
]);

/** What Postgres 17 has reserved: unquoted it is no name of a schema. */
const WORDS = new Set(
  `all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
  column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
  current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
  from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
  localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
  returning right select session_user similar some symmetric system_user table tablesample then to trailing true union
  unique user using variadic verbose when where window with`.split(/\s+/),
);

/** Why nothing of a job can have this name in SQL; null: it can. */
export function reservedFault(sqlName: string): string | null {
  if (sqlName.startsWith("pg_")) return "Postgres keeps names that begin with pg_ for itself";
  if (SCHEMAS.has(sqlName)) return `${sqlName} is a schema of the platform`;
  if (WORDS.has(sqlName)) return `${sqlName} is a word of SQL`;
  return null;
}
