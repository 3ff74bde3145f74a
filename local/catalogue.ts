import type { Sql, TransactionSql } from "postgres";

const query = await Deno.readTextFile(new URL("./catalogue.sql", import.meta.url));

/** Tables whose rows are a pack's own words, not what happened: they are compared like the catalogue. */
const WORDS = [
  "scheduler.verdicts",
  "scheduler.retention_rules",
  "scheduler.health_components",
  "scheduler.health_figures",
  "scheduler.health_keys",
  "scheduler.metric_families",
  "scheduler.metric_sources",
  "public.scheduler_settings",
  "scheduler.job_sources",
];
/** Columns that say when or in which order a row came. */
const MOMENTS = ["place", "updated_at", "created_at", "next_run_at", "applied_at"];

/**
 * Everything that is in a database, a line a thing: its schemas, tables, functions, comments and rights, the rows that
 * packs bring, the jobs and the entries of pg_cron. Two databases with the same lines are the same to their users.
 */
export async function readCatalogue(sql: Sql | TransactionSql): Promise<string[]> {
  const things = (await sql.unsafe(query)).map(({ kind, name, definition }) =>
    `${kind} ${name}: ${definition}`
  );
  for (const table of [...WORDS, "public.scheduler_jobs"]) {
    const [there] = await sql`select to_regclass(${table}) is not null as yes`;
    if (!there!.yes) continue;
    const rows = await sql.unsafe(
      `select (to_jsonb(r) - ${literals(MOMENTS)}::text[])::text as row from ${table} as r`,
    );
    things.push(...rows.map(({ row }) => `row of ${table}: ${row}`));
  }
  const entries = await sql`
    select format('%s %s %s %s', jobname, schedule, command, active) as entry from cron.job`;
  things.push(...entries.map(({ entry }) => `entry of pg_cron: ${entry}`));
  return things.sort();
}

const literals = (names: string[]) => `array[${names.map((name) => `'${name}'`).join(", ")}]`;

/** What only one of two catalogues has, for people. */
export function compareCatalogues(before: string[], after: string[]): string[] {
  const [one, other] = [new Set(before), new Set(after)];
  return [
    ...before.filter((thing) => !other.has(thing)).map((thing) => `- ${thing}`),
    ...after.filter((thing) => !one.has(thing)).map((thing) => `+ ${thing}`),
  ];
}
