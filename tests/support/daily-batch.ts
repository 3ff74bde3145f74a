/** For tests of the daily batch: organizations with prompts, providers, ticks, and the batches they made. */
import type { Row, Sql } from "postgres";
import { type TestDatabase, withDatabase } from "./database.ts";
import { setSecret } from "./scheduler.ts";

type Query = Pick<Sql, "unsafe">;

export interface OrganizationValues {
  time_zone?: string | null;
  daily_run_at?: string | null;
  created_at?: Date;
  enabled?: boolean;
}

/** Adds an organization with one active prompt, or that many. Returns its id. */
export async function organization(
  sql: Query,
  name: string,
  values: OrganizationValues = {},
  prompts = 1,
): Promise<string> {
  const [row] = await sql.unsafe(
    `with made as (
      insert into organizations (name, time_zone, daily_run_at, created_at, enabled) values ($1, $2, $3, $4, $5) returning id
    ), asked as (
      insert into prompts (organization_id, text) select id, 'prompt ' || n from made, generate_series(1, $6::integer) as n
    )
    select id from made`,
    [
      name,
      values.time_zone ?? null,
      values.daily_run_at ?? null,
      (values.created_at ?? new Date("2026-01-01T00:00:00Z")).toISOString(),
      values.enabled ?? true,
      prompts,
    ],
  );
  return row!.id;
}

/** Providers that are never called. */
export async function providers(sql: Query, names: string[] = ["one", "two"]): Promise<void> {
  await sql.unsafe(
    `insert into batch_providers (name, model, api_url_variable, api_key_variable)
    select name, 'model', 'MODEL_URL', 'MODEL_KEY' from unnest($1::text[]) as name`,
    [names],
  );
}

/** A change of zone or hour at that moment. */
export async function move(
  sql: Query,
  id: string,
  to: { time_zone: string | null; daily_run_at?: string | null },
  at: string,
): Promise<void> {
  await sql.unsafe(
    "update organizations set time_zone = $2, daily_run_at = $3, updated_at = $4 where id = $1",
    [id, to.time_zone, to.daily_run_at ?? null, at],
  );
}

export interface Tick {
  zones?: boolean;
  force?: boolean;
  manual_test?: boolean;
}

/** `trigger_daily_batch` at that moment. */
export async function trigger(sql: Query, at: string, options: Tick = {}): Promise<Row> {
  const [row] = await sql.unsafe(
    `select batches.trigger_daily(p_zones => $1, p_force => $2, p_manual_test => $3, p_now => $4) as told`,
    [options.zones ?? false, options.force ?? false, options.manual_test ?? false, at],
  );
  return row!.told;
}

/** The batches of an organization: its dates, with the rerun where it is one. */
export async function dates(sql: Query, id: string): Promise<string[]> {
  const rows = await sql.unsafe(
    `select to_char(batch_date, 'YYYY-MM-DD') || case when rerun > 0 then ' #' || rerun else '' end as date
    from batch_jobs where organization_id = $1 order by created_at, batch_date, rerun`,
    [id],
  );
  return rows.map((row) => row.date);
}

/** When the organization is due next, as ISO text; null when it follows the platform. */
export async function nextBatchAt(sql: Query, id: string): Promise<string | null> {
  const [row] = await sql.unsafe("select next_batch_at from organizations where id = $1", [id]);
  return row!.next_batch_at?.toISOString() ?? null;
}

/** What the organization's last moves left to be begun, as "2026-03-02 owed since …", in order. */
export async function owedDates(sql: Query, id: string): Promise<string[]> {
  const rows = await sql.unsafe(
    `select to_char(batch_date, 'YYYY-MM-DD') as date, state, due_at from batches.owed_dates
    where organization_id = $1 order by batch_date`,
    [id],
  );
  return rows.map(({ date, state, due_at }) => `${date} ${state} since ${due_at.toISOString()}`);
}

/** A test with a database of its own, two providers, and the registry as it is shipped. */
export function batchTest(name: string, fn: (db: TestDatabase) => Promise<void>): void {
  Deno.test(name, () =>
    withDatabase(async (db) => {
      await setSecret(db.sql, "project_url", "https://project.example.test");
      await setSecret(db.sql, "cron_secret", "the-cron-secret-of-the-tests-0123456789");
      await providers(db.sql);
      await fn(db);
    }));
}
