/** For tests of the weekly suggestions. */
import type { Sql } from "postgres";
import { addProvider } from "./batch.ts";

/** A Monday at noon in New York. */
export const MONDAY = new Date("2026-03-02T17:00:00Z");
export const WEEK = "2026-03-02";

/** An organization of long ago that asks these prompts; its id. */
export async function addOrganization(
  sql: Sql,
  prompts: string[],
  values: { time_zone?: string; created_at?: Date; enabled?: boolean } = {},
): Promise<string> {
  const { time_zone = null, created_at = new Date("2025-01-01T00:00:00Z"), enabled = true } =
    values;
  const [row] = await sql<{ id: string }[]>`
    with organization as (
      insert into organizations (name, time_zone, enabled, created_at, updated_at)
      values ('Suggestion tests', ${time_zone}, ${enabled}, ${created_at}, ${created_at}) returning id),
    asked as (
      insert into prompts (organization_id, text)
      select id, text from organization, jsonb_array_elements_text(${sql.json(prompts)}) as text)
    select id from organization`;
  return row!.id;
}

/** The model server suggests. */
export async function addSuggester(sql: Sql, values: Record<string, number> = {}): Promise<void> {
  await addProvider(sql, "muse", values);
  await sql`update scheduler_settings set value = '"muse"' where key = 'weekly_suggestions.provider'`;
}

/** What was suggested to the organization. */
export async function suggested(sql: Sql, id: string): Promise<string[]> {
  const rows = await sql<{ text: string }[]>`
    select text from prompts where organization_id = ${id} and status = 'suggested' order by text`;
  return rows.map((row) => row.text);
}
