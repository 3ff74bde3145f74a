/** The names that a database's things have, where two applications of one database can both want them. */
import type { Sql } from "postgres";

const query = await Deno.readTextFile(new URL("./names.sql", import.meta.url));

/** A thing by its kind and its name: of a schema, of something in `public`, of a job. */
export interface Name {
  kind: string;
  name: string;
  /** Of an index, a trigger and a constraint. */
  of_table?: string | null;
}

/** What a pack makes, by kind. */
export type Names = Record<string, string[]>;

/** The kinds of things that are known by name; the others come and go with their tables. */
const MADE = [
  "schema",
  "table",
  "view",
  "materialized view",
  "type",
  "function",
  "job",
  "pg_cron entry",
  "index",
  "trigger",
  "constraint",
];

/** Everything in the database that has a name of its own. */
export async function readNames(sql: Sql): Promise<Name[]> {
  const names = [...await sql.unsafe<Name[]>(query)];
  const [there] = await sql`
    select to_regclass('cron.job') is not null as entries,
      to_regclass('public.scheduler_jobs') is not null and to_regnamespace('scheduler') is not null as jobs`;
  if (there!.jobs) {
    names.push(
      ...await sql<Name[]>`select 'job' as kind, name from public.scheduler_jobs order by name`,
    );
  }
  if (there!.entries) {
    names.push(
      ...await sql<Name[]>`
      select 'pg_cron entry' as kind, jobname as name from cron.job where jobname is not null order by jobname`,
    );
  }
  return names;
}

/** Two things with one key cannot both be there. */
export function keyOf({ kind, name }: Name): string {
  return `${SPACES[kind] ?? "relation"} ${name}`;
}
const SPACES: Record<string, string> = {
  schema: "schema",
  function: "function",
  trigger: "trigger",
  constraint: "constraint",
  job: "job",
  "pg_cron entry": "job",
};

/** What is there now and was not before, by kind; of what belongs to tables that on tables of others. */
export function namesMade(before: readonly Name[], after: readonly Name[]): Names {
  const known = new Set(before.map(keyOf));
  const made: Names = {};
  for (const name of after) {
    const key = keyOf(name);
    const { kind, of_table: table } = name;
    if (known.has(key) || !MADE.includes(kind)) continue;
    known.add(key);
    if (table != null && !before.some((name) => name.kind === "table" && name.name === table)) {
      continue;
    }
    (made[kind] ??= []).push(name.name);
  }
  return made;
}

/** The same as a list. */
export function listNames(names: Names): Name[] {
  return Object.entries(names).flatMap(([kind, list]) => list.map((name) => ({ kind, name })));
}
