/** Random device data, and the job run against a test database without the REST server between. */
import assert from "node:assert/strict";
import type { ISql, Sql } from "postgres";
import {
  aggregate,
  type AggregateContext,
} from "../../supabase/functions/aggregate-device-metrics/aggregate.ts";
import type { Figures } from "../../supabase/functions/aggregate-device-metrics/summarize.ts";
import { type Input, input } from "../../supabase/functions/aggregate-device-metrics/input.ts";
import type { Steps } from "../../supabase/functions/aggregate-device-metrics/steps.ts";
import type { TestDatabase } from "./database.ts";
import { bruteForce, dayUs, differences, hourUs, stored } from "./device-metrics-oracle.ts";

/** Where all random data begins. Long ago, so that every hour of it is over. */
export const base = Date.parse("2026-03-01T00:00:00Z");
export const hourMs = 3_600_000;
export const at = (hours: number) => new Date(base + hours * hourMs);

export type Random = () => number;

/** Repeatable numbers in [0, 1) (mulberry32). */
export function random(seed: number): Random {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const pick = <T>(roll: Random, of: readonly T[]): T => of[Math.floor(roll() * of.length)]!;
const id = (roll: Random) =>
  "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(
    /x/g,
    () => Math.floor(roll() * 16).toString(16),
  );

/** A moment in the three days; one in five on the stroke of an hour, where mistakes are made. */
function moment(roll: Random): Date {
  const hours = roll() * 72;
  return at(roll() < 0.2 ? Math.floor(hours) : hours);
}

function span(roll: Random): { start: Date; end: Date | null; seen: Date | null } {
  const start = moment(roll);
  const kind = roll();
  const length = kind < 0.1
    ? 0
    : kind < 0.2
    ? -roll() * 3
    : kind < 0.4
    ? Math.ceil(roll() * 5)
    : roll() * (kind < 0.5 ? 40 : 6);
  const end = new Date(start.getTime() + Math.round(length * hourMs));
  if (roll() < 0.75) return { start, end, seen: roll() < 0.5 ? end : null };
  return { start, end: null, seen: roll() < 0.8 ? end : null };
}

export async function addDevices(sql: Sql, roll: Random, count: number): Promise<string[]> {
  const devices = Array.from({ length: count }, () => id(roll));
  await sql`insert into public.devices ${
    sql(devices.map((id) => ({ id, device_fingerprint: id })))
  }`;
  return devices;
}

/** Adds about `count` rows to each of the five tables. */
export async function addRows(
  sql: ISql,
  roll: Random,
  devices: readonly string[],
  count: number,
): Promise<void> {
  const many = <T>(make: () => T) => Array.from({ length: count }, make);
  await sql`insert into public.device_connection_sessions ${
    sql(many(() => {
      const { start, end, seen } = span(roll);
      return {
        id: id(roll),
        device_id: pick(roll, devices),
        status: end ? "ended" : "active",
        connected_at: start,
        disconnected_at: end,
        last_heartbeat_at: seen,
      };
    }))
  }`;
  await sql`insert into public.charging_sessions ${
    sql(many(() => {
      const { start, end, seen } = span(roll);
      return {
        id: id(roll),
        device_id: pick(roll, devices),
        status: end ? "completed" : "charging",
        started_at: start,
        ended_at: end,
        last_reading_at: seen,
        energy_wh: roll() < 0.15 ? null : (roll() * 90).toFixed(3),
        efficiency_percent: roll() < 0.15 ? null : (60 + roll() * 40).toFixed(2),
      };
    }))
  }`;
  await sql`insert into public.device_activity_log ${
    sql(many(() => ({
      device_id: pick(roll, devices),
      occurred_at: moment(roll),
      activity_type: "heartbeat",
      severity: pick(roll, ["info", "info", "warning", "error"]),
    })))
  }`;
  await sql`insert into public.pop_events_ledger ${
    sql(many(() => ({
      id: id(roll),
      device_id: pick(roll, devices),
      event_type: "sustained_connection",
      occurred_at: moment(roll),
      status: pick(roll, ["pending", "validated", "validated", "rejected"]),
      points: (roll() * 20).toFixed(4),
    })))
  }`;
  await sql`insert into public.engagement_commands ${
    sql(many(() => ({
      id: id(roll),
      device_id: pick(roll, devices),
      command_type: "notify",
      issued_at: moment(roll),
      status: pick(roll, ["pending", "sent", "completed", "completed", "failed", "expired"]),
    })))
  }`;
}

/** The job's steps over a database connection; what PostgREST would call as `service_role`. */
export function sqlSteps(sql: Sql): Steps {
  const call = async (query: PromiseLike<readonly { result?: unknown }[]>) =>
    // deno-lint-ignore no-explicit-any
    (await query)[0]!.result as any;
  return {
    begin: () => call(sql`select public.aggregate_device_metrics_begin() as result`),
    recompute: (from, to) =>
      call(sql`select public.aggregate_device_metrics_recompute(
        ${from}::text::timestamptz, ${to}::text::timestamptz) as result`),
    hours: (maximum, { from, to } = always) =>
      call(sql`select public.aggregate_device_metrics_hours(
        ${maximum}, ${from}::text::timestamptz, ${to}::text::timestamptz) as result`),
    days: (maximum, { from, to } = always) =>
      call(sql`select public.aggregate_device_metrics_days(
        ${maximum}, ${from}::text::timestamptz, ${to}::text::timestamptz) as result`),
  };
}

const always = { from: "-infinity", to: "infinity" };

/** A connection with what a request of the job has: the role `service_role` and 8 s a statement. */
export const asService = (db: TestDatabase, settings: Record<string, string> = {}): Sql =>
  db.connect("postgres", {
    connection: { role: "service_role", statement_timeout: 8000, ...settings },
  });

const silent = { info() {}, warn() {}, error() {} };

/** Runs the job; `context` replaces parts of what it is given. */
export async function runJob(
  sql: Sql,
  options: Partial<Input> = {},
  context: Partial<AggregateContext> = {},
): Promise<Figures & { summary: string }> {
  const result = await aggregate(input.parse(options), {
    log: silent,
    signal: new AbortController().signal,
    now: () => new Date(),
    remainingMs: () => 100_000,
    reportProgress() {},
    ...context,
  }, sqlSteps(sql));
  return result as unknown as Figures & { summary: string };
}

/** Hours, and days unless told otherwise, are what the raw rows give. */
export async function assertExact(sql: Sql, options: { days?: boolean } = {}): Promise<void> {
  const now = BigInt(Date.now()) * 1000n;
  const hours = await bruteForce(sql, hourUs, now - now % hourUs);
  assert.deepEqual(differences(await stored(sql, "hour"), hours).slice(0, 5), []);
  if (options.days === false) return;
  const days = await bruteForce(sql, dayUs, now - now % dayUs);
  assert.deepEqual(differences(await stored(sql, "day"), days).slice(0, 5), []);
}

/** Each row of the summary with where and by whom it was last touched. */
export async function touched(sql: Sql): Promise<Map<string, string>> {
  const rows = await sql`select concat_ws(' ', granularity, period_start, device_key) as name,
    concat_ws(' ', ctid, xmin, xmax, computed_at) as trace from public.device_metrics_summary`;
  return new Map(rows.map(({ name, trace }) => [name, trace]));
}

/** As if the scheduler had last run this many hours ago. */
export async function fallBehind({ admin }: TestDatabase, hours: number): Promise<void> {
  await admin`update devices.metrics_state
    set next_hour = date_bin('1 hour', now(), '2000-01-01 00:00+00') - ${hours} * interval '1 hour'`;
}
