/** Device rows for the tests of prometheus-metrics. */
import type { Sql } from "postgres";

/** Registers devices and returns their ids. */
export async function insertDevices(
  sql: Sql,
  count: number,
  status = "online",
): Promise<string[]> {
  const rows = await sql`
    insert into public.devices (device_fingerprint, status)
    select gen_random_uuid()::text, ${status} from generate_series(1, ${count}::int) returning id`;
  return rows.map((row) => row.id);
}

/** PoP events of one moment, ten points each, so many of each status. */
export async function insertPopEvents(
  sql: Sql,
  device: string,
  occurredAt: Date,
  statuses: Record<string, number>,
): Promise<void> {
  for (const [status, count] of Object.entries(statuses)) {
    await sql`
      insert into public.pop_events_ledger (device_id, event_type, points, status, occurred_at)
      select ${device}, 'sustained_connection', 10, ${status}, ${occurredAt}
      from generate_series(1, ${count}::int)`;
  }
}
