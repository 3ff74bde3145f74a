import type { Sql } from "postgres";
import { type Figure, median, milliseconds } from "./figure.ts";

const connections = 20_000;
const rounds = 5;

/**
 * A sweep of 20,000 connections that have all fallen silent, the most work that there can be: against the bare update of
 * the same rows, one statement for the sessions and one for the devices. Both write the same values, set off the same
 * triggers and are committed; the bare one knows beforehand what is to be written, checks nothing again, and holds
 * its locks to the end.
 */
export async function benchConnections(sql: Sql): Promise<Figure> {
  await sql.unsafe(await Deno.readTextFile(new URL("connections.sql", import.meta.url))).simple();
  const bare: number[] = [], swept: number[] = [];
  for (let round = -1; round < rounds; round++) {
    await putBack(sql);
    const bareMs = await milliseconds(() => updateBare(sql));
    await expectEnded(sql, "the bare update");
    await putBack(sql);
    const sweptMs = await milliseconds(() => sweep(sql));
    await expectEnded(sql, "the sweep");
    // The first round only fills the caches.
    if (round < 0) continue;
    bare.push(bareMs);
    swept.push(sweptMs);
  }
  await putBack(sql);
  await sql`update public.device_connection_sessions set last_heartbeat_at = now()`;
  const idleMs = await milliseconds(() => sweep(sql));
  const perSecond = (ms: number) =>
    `${ms.toFixed(0)} ms, ${Math.round(connections / ms * 1000).toLocaleString("en-US")} a second`;
  return {
    name:
      "a sweep that ends 20,000 silent connections, against the bare update of the same rows (p50)",
    value: median(swept) / median(bare),
    unit: "×",
    limit: 2.5,
    parts: [
      `bare update of the sessions and their devices ${perSecond(median(bare))}`,
      `sweep ${perSecond(median(swept))}`,
      `sweep that finds all 20,000 alive ${perSecond(idleMs)}`,
    ],
  };
}

/** All devices online, all sessions open and silent for ten minutes. */
async function putBack(sql: Sql): Promise<void> {
  await sql`
    update public.device_connection_sessions set status = 'active', disconnected_at = null, disconnect_reason = null,
      last_heartbeat_at = now() - interval '10 minutes'`;
  await sql`
    update public.devices set status = 'online', last_seen_at = now() - interval '30 minutes'`;
  await sql`truncate devices.metrics_changes`;
  await sql`vacuum (analyze) public.device_connection_sessions, public.devices`;
}

async function updateBare(sql: Sql): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`
      update public.device_connection_sessions
      set status = 'timed_out', disconnected_at = last_heartbeat_at, disconnect_reason = 'heartbeat_timeout'
      where disconnected_at is null and last_heartbeat_at < now() - interval '300 seconds'`;
    await transaction`
      update public.devices set status = 'offline', last_seen_at = sessions.last_heartbeat_at
      from public.device_connection_sessions as sessions where sessions.device_id = devices.id`;
  });
}

async function sweep(sql: Sql): Promise<void> {
  for (let after: string | null = "00000000-0000-0000-0000-000000000000"; after !== null;) {
    const rows: { step: { next_after: string | null } }[] = await sql`
      select public.monitor_device_connections_sweep(${after}) as step`;
    after = rows[0]!.step.next_after;
  }
}

async function expectEnded(sql: Sql, what: string): Promise<void> {
  const [found] = await sql`
    select least(
      (select count(*) from public.device_connection_sessions
       where status = 'timed_out' and disconnected_at = last_heartbeat_at),
      (select count(*) from public.devices
       where status = 'offline' and last_seen_at > now() - interval '20 minutes'))::int as rows`;
  if (found!.rows !== connections) {
    throw new Error(`Cannot measure: ${what} ended ${found!.rows} of ${connections} connections`);
  }
}
