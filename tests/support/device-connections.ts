/** What the tests of the connections share: a fleet at a moment that the test sets, and the steps called with it. */
import type { Row, Sql } from "postgres";

/** The present of these tests. */
export const NOON = new Date("2026-03-02T12:00:00Z");

/** So many seconds before (or, below zero, after) the present. */
export function ago(seconds: number): Date {
  return new Date(NOON.getTime() - seconds * 1000);
}

/** Adds a device; its id. */
export async function addDevice(sql: Sql, values: Record<string, unknown> = {}): Promise<string> {
  const row = { device_fingerprint: crypto.randomUUID(), registered_at: ago(86_400), ...values };
  const [device] = await sql`insert into devices ${sql(row)} returning id`;
  return device!.id;
}

/** Adds an open session that began an hour ago, heard of at `heartbeat` (null: never); its id. */
export async function addSession(
  sql: Sql,
  device: string,
  heartbeat: Date | null,
  values: Record<string, unknown> = {},
): Promise<string> {
  const row = {
    device_id: device,
    connected_at: ago(3600),
    last_heartbeat_at: heartbeat,
    ...values,
  };
  const [session] = await sql`insert into device_connection_sessions ${sql(row)} returning id`;
  return session!.id;
}

/** Adds a pending command issued ten minutes ago; its id. */
export async function addCommand(
  sql: Sql,
  device: string,
  values: Record<string, unknown> = {},
): Promise<string> {
  const row = { device_id: device, command_type: "notify", issued_at: ago(600), ...values };
  const [command] = await sql`insert into engagement_commands ${sql(row)} returning id`;
  return command!.id;
}

/** One step of the sweep over everything. */
export async function sweep(sql: Sql, now = NOON): Promise<Row> {
  const [row] = await sql`select devices.sweep_connections(p_now => ${now}) as value`;
  return row!.value;
}

/** Steps of the sweep, so many devices at most in each, until they are through; what each reported. */
export async function sweepInSteps(sql: Sql, maxDevices: number, now = NOON): Promise<Row[]> {
  const reports: Row[] = [];
  let after: string | null = "00000000-0000-0000-0000-000000000000";
  while (after !== null) {
    const rows: Row[] = await sql`
      select devices.sweep_connections(${after}, null, ${maxDevices}, ${now}) as value`;
    reports.push(rows[0]!.value);
    after = rows[0]!.value.next_after;
  }
  return reports;
}

/** One step of the hand-over for everybody. */
export async function handOver(sql: Sql, now = NOON): Promise<Row> {
  const [row] = await sql`select devices.hand_over_commands(p_now => ${now}) as value`;
  return row!.value;
}

export async function session(sql: Sql, id: string): Promise<Row> {
  const [row] = await sql`select * from device_connection_sessions where id = ${id}`;
  return row!;
}

export async function device(sql: Sql, id: string): Promise<Row> {
  const [row] = await sql`select * from devices where id = ${id}`;
  return row!;
}

export async function command(sql: Sql, id: string): Promise<Row> {
  const [row] = await sql`select * from engagement_commands where id = ${id}`;
  return row!;
}
