/** The device metrics, computed row by row from the raw rows with nothing of the SQL: what the tests believe. */
import type { Sql } from "postgres";

export const hourUs = 3_600_000_000n;
export const dayUs = 24n * hourUs;
export const fleet = "fleet";

export interface Expected {
  active: number;
  connectionsStarted: number;
  connectedSeconds: number;
  chargingStarted: number;
  chargingSeconds: number;
  energyWh: number;
  efficiencyEnergyWh: number;
  efficiencyWeight: number;
  activityEvents: number;
  activityErrors: number;
  popEvents: number;
  popValidated: number;
  popRejected: number;
  popPoints: number;
  commandsIssued: number;
  commandsCompleted: number;
  commandsFailed: number;
  commandsExpired: number;
}

/** Keyed by "period start in µs, device id or fleet". */
export type Figures = Map<string, Expected>;

export const key = (period: bigint, device: string) => `${period} ${device}`;

const nothing = (): Expected => ({
  active: 0,
  connectionsStarted: 0,
  connectedSeconds: 0,
  chargingStarted: 0,
  chargingSeconds: 0,
  energyWh: 0,
  efficiencyEnergyWh: 0,
  efficiencyWeight: 0,
  activityEvents: 0,
  activityErrors: 0,
  popEvents: 0,
  popValidated: 0,
  popRejected: 0,
  popPoints: 0,
  commandsIssued: 0,
  commandsCompleted: 0,
  commandsFailed: 0,
  commandsExpired: 0,
});

interface Session {
  device: string;
  start: bigint;
  end: bigint;
  energy: number | null;
  efficiency: number | null;
}

/** Adds up all raw rows into periods of `length` µs that start before `until`; device rows and fleet rows. */
export async function bruteForce(sql: Sql, length: bigint, until: bigint): Promise<Figures> {
  const figures: Figures = new Map();
  const at = (device: string, moment: bigint): Expected | undefined => {
    const period = moment - moment % length;
    if (period >= until) return undefined;
    const name = key(period, device);
    let row = figures.get(name);
    if (row === undefined) figures.set(name, row = nothing());
    return row;
  };
  const count = (device: string, moment: bigint, ...fields: (keyof Expected)[]) => {
    const row = at(device, moment);
    for (const field of fields) if (row) row[field]++;
    return row;
  };

  for (const s of await sessions(sql, "connections")) {
    const row = count(s.device, s.start, "connectionsStarted");
    if (row) row.active = 1;
    for (const [moment, us] of parts(s, length)) {
      const row = at(s.device, moment);
      if (row) {
        row.connectedSeconds += Number(us) / 1e6;
        row.active = 1;
      }
    }
  }
  for (const s of await sessions(sql, "charging")) {
    const row = count(s.device, s.start, "chargingStarted");
    if (row) row.active = 1;
    const whole = s.end - s.start;
    const shares: [bigint, bigint, number][] = whole === 0n
      ? [[s.start, 0n, 1]]
      : parts(s, length).map(([moment, us]) => [moment, us, Number(us) / Number(whole)]);
    for (const [moment, us, share] of shares) {
      const row = at(s.device, moment);
      if (!row) continue;
      row.active = 1;
      row.chargingSeconds += Number(us) / 1e6;
      if (s.energy === null) continue;
      row.energyWh += s.energy * share;
      if (s.efficiency === null) continue;
      row.efficiencyEnergyWh += s.energy * share;
      row.efficiencyWeight += s.energy * share * s.efficiency;
    }
  }
  for (
    const r of await sql`select device_id, severity,
      (extract(epoch from occurred_at) * 1000000)::bigint::text as at from public.device_activity_log`
  ) {
    const row = count(r.device_id, BigInt(r.at), "activityEvents");
    if (row) row.active = 1;
    if (r.severity === "error") count(r.device_id, BigInt(r.at), "activityErrors");
  }
  for (
    const r of await sql`select device_id, status, points::float8 as points,
      (extract(epoch from occurred_at) * 1000000)::bigint::text as at from public.pop_events_ledger`
  ) {
    const row = count(r.device_id, BigInt(r.at), "popEvents");
    if (!row) continue;
    row.active = 1;
    if (r.status === "rejected") row.popRejected++;
    if (r.status === "validated") {
      row.popValidated++;
      row.popPoints += r.points;
    }
  }
  for (
    const r of await sql`select device_id, status,
      (extract(epoch from issued_at) * 1000000)::bigint::text as at from public.engagement_commands`
  ) {
    const row = count(r.device_id, BigInt(r.at), "commandsIssued");
    if (!row) continue;
    if (r.status === "completed") row.commandsCompleted++;
    if (r.status === "failed") row.commandsFailed++;
    if (r.status === "expired") row.commandsExpired++;
  }

  for (const [name, row] of [...figures]) {
    const total = at(fleet, BigInt(name.split(" ")[0]!))!;
    for (const field of Object.keys(row) as (keyof Expected)[]) total[field] += row[field];
  }
  return figures;
}

/** The stretches of a session in each period: a moment in the period, and the length in µs. */
function parts({ start, end }: Session, length: bigint): [bigint, bigint][] {
  const found: [bigint, bigint][] = [];
  for (let from = start; from < end;) {
    const next = from - from % length + length;
    const to = next < end ? next : end;
    found.push([from, to - from]);
    from = to;
  }
  return found;
}

async function sessions(sql: Sql, kind: "connections" | "charging"): Promise<Session[]> {
  const rows = kind === "connections"
    ? await sql`select device_id, null::float8 as energy, null::float8 as efficiency,
        (extract(epoch from connected_at) * 1000000)::bigint::text as start,
        (extract(epoch from disconnected_at) * 1000000)::bigint::text as ended,
        (extract(epoch from last_heartbeat_at) * 1000000)::bigint::text as seen
      from public.device_connection_sessions`
    : await sql`select device_id, energy_wh::float8 as energy, efficiency_percent::float8 as efficiency,
        (extract(epoch from started_at) * 1000000)::bigint::text as start,
        (extract(epoch from ended_at) * 1000000)::bigint::text as ended,
        (extract(epoch from last_reading_at) * 1000000)::bigint::text as seen
      from public.charging_sessions`;
  return rows.map((r) => {
    const start = BigInt(r.start);
    const end = BigInt(r.ended ?? r.seen ?? r.start);
    return {
      device: r.device_id,
      start,
      end: end < start ? start : end,
      energy: r.energy,
      efficiency: r.efficiency,
    };
  });
}

/** What the summary table holds, in the oracle's terms. */
export async function stored(sql: Sql, granularity: "hour" | "day"): Promise<Figures> {
  const rows = await sql`
    select (extract(epoch from period_start) * 1000000)::bigint::text as period, coalesce(device_id::text, ${fleet}) as device,
      active_devices as "active", connections_started::int as "connectionsStarted", connected_seconds::float8 as "connectedSeconds",
      charging_sessions_started::int as "chargingStarted", charging_seconds::float8 as "chargingSeconds",
      energy_wh::float8 as "energyWh", efficiency_energy_wh::float8 as "efficiencyEnergyWh",
      efficiency_weight::float8 as "efficiencyWeight", activity_events::int as "activityEvents",
      activity_errors::int as "activityErrors", pop_events::int as "popEvents", pop_events_validated::int as "popValidated",
      pop_events_rejected::int as "popRejected", pop_points::float8 as "popPoints", commands_issued::int as "commandsIssued",
      commands_completed::int as "commandsCompleted", commands_failed::int as "commandsFailed",
      commands_expired::int as "commandsExpired"
    from public.device_metrics_summary where granularity = ${granularity}`;
  return new Map(rows.map(({ period, device, ...figures }) => [
    key(BigInt(period), device),
    figures as Expected,
  ]));
}

/** Where the two disagree, in words; an empty list when they agree. Quiet fleet rows may be there or not. */
export function differences(actual: Figures, expected: Figures): string[] {
  const found: string[] = [];
  for (const name of new Set([...actual.keys(), ...expected.keys()])) {
    const [period, device] = name.split(" ");
    const label = `${new Date(Number(BigInt(period!) / 1000n)).toISOString()} ${device}`;
    const is = actual.get(name);
    const should = expected.get(name) ?? (device === fleet ? nothing() : undefined);
    if (is === undefined || should === undefined) {
      found.push(`${label}: ${is ? "should not be there" : "is missing"}`);
      continue;
    }
    for (const field of Object.keys(should) as (keyof Expected)[]) {
      // Each share of energy is rounded to a millionth of a watt hour; the weight is a percentage of it.
      const tolerance = field === "efficiencyWeight" ? 1e-2 : 1e-4;
      if (Math.abs(is[field] - should[field]) > tolerance) {
        found.push(`${label} ${field}: is ${is[field]}, should be ${should[field]}`);
      }
    }
  }
  return found;
}
