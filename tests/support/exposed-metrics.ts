/** What a scrape shows: the families that a database has, and the samples as a scraper reads them. */
import type { Sql } from "postgres";
import { renderReading } from "../../supabase/functions/prometheus-metrics/exposition.ts";
import type { Reading } from "../../supabase/functions/prometheus-metrics/reading.ts";
import { value } from "./scheduler.ts";

/** By the name of each family of this database, in the order of a scrape: its type and its help. */
export async function exposedFamilies(
  sql: Sql,
): Promise<Map<string, { type: string; help: string }>> {
  const rows = await sql<{ family: string; type: string; help: string }[]>`
    select family, type, help from scheduler.metric_families order by place`;
  return new Map(rows.map(({ family, type, help }) => [family, { type, help }]));
}

/** Every name a query can ask for: histograms have three. */
export async function exposedNames(sql: Sql): Promise<Set<string>> {
  return new Set(
    [...await exposedFamilies(sql)].flatMap(([name, { type }]) =>
      type === "histogram" ? ["_bucket", "_sum", "_count"].map((suffix) => name + suffix) : [name]
    ),
  );
}

/** The names of metrics in a PromQL expression, as they are written: by what ours begin with. */
export function metricsIn(expression: string): string[] {
  return [
    ...expression.matchAll(/\b(?:xmrt|scheduler|scheduled_action|api_key|code|batch)s?_[a-z_]+\b/g),
  ]
    .map((match) => match[0]);
}

/** What the database has for a scrape; at `now`, or as `public.prometheus_metrics()` reads it. */
export async function readMetrics(sql: Sql, now?: Date): Promise<Reading> {
  return now === undefined
    ? await value(sql, "public.prometheus_metrics()")
    : await value(sql, "scheduler.prometheus_metrics($1)", [now]);
}

/** The samples of a scrape by their series as it is written, `name{label="value"}`. No source may have failed. */
export async function readSamples(sql: Sql, now?: Date): Promise<Map<string, number>> {
  const reading = await readMetrics(sql, now);
  const failed = Object.entries(reading.errors);
  if (failed.length > 0) throw new Error(`A source of metrics failed: ${failed.join("; ")}`);
  return samplesOf(renderReading(reading));
}

/** The samples of an exposition by their series as it is written. */
export function samplesOf(text: string): Map<string, number> {
  return new Map(
    text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
      const end = line.lastIndexOf(" ");
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
}

/** The samples of a family by its one label: `{failed: 3}`. */
export function byLabel(samples: Map<string, number>, family: string): Record<string, number> {
  const found = [...samples].flatMap(([series, sample]) => {
    const [, name, label] = /^(\w+)\{\w+="([^"]*)"\}$/.exec(series) ?? [];
    return name === family ? [[label!, sample] as const] : [];
  });
  return Object.fromEntries(found);
}

/** The sums of the devices' rows in a scrape. */
export function deviceSums(samples: Map<string, number>) {
  const sample = (name: string) => samples.get(`xmrt_${name}`);
  return {
    devices: sample("devices_total"),
    charging: sample("charging_sessions_total"),
    pop: sample("pop_events_total"),
    validated: sample("pop_events_validated"),
    rejected: sample("pop_events_rejected"),
    points: sample("pop_points_total"),
    commands: sample("commands_total"),
  };
}

/** The same sums as the rows of the tables give them when they are simply counted. */
export async function countedDeviceSums(sql: Sql): Promise<ReturnType<typeof deviceSums>> {
  const [row] = await sql`
    select (select count(*) from devices)::int as devices,
      (select count(*) from charging_sessions)::int as charging,
      (select count(*) from pop_events_ledger)::int as pop,
      (select count(*) from pop_events_ledger where status = 'validated')::int as validated,
      (select count(*) from pop_events_ledger where status = 'rejected')::int as rejected,
      (select coalesce(sum(points), 0) from pop_events_ledger where status = 'validated')::float8 as points,
      (select count(*) from engagement_commands)::int as commands`;
  return { ...row } as ReturnType<typeof deviceSums>;
}
