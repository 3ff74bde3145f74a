import type { Sql } from "postgres";
import { type Figure, milliseconds } from "./figure.ts";

const rowsADevice = 1_728;
const day = { from: "2026-03-01T00:00:00Z", to: "2026-03-02T00:00:00Z" };

interface Measured {
  rows: number;
  summaryRows: number;
  bareMs: number;
  hoursMs: number;
  daysMs: number;
  totalMs: number;
}

/**
 * A day of metrics, computed for the first time and written, against the bare `select … group by` device and hour of
 * the same rows, which writes nothing and whose result is not fetched. Both run with the server's own settings, as a
 * job does. Each time is the best of its rounds: what else the machine does only ever adds to it.
 */
export async function benchMetrics(sql: Sql): Promise<Figure[]> {
  const million = await measure(sql, 1_000_000, 7);
  const tenMillion = await measure(sql, 10_000_000, 5);
  const growth = (tenMillion.totalMs / million.totalMs) / (tenMillion.bareMs / million.bareMs);
  return [
    figure("a day of metrics over 1 million activity rows, against the bare group by", million),
    figure("a day of metrics over 10 million activity rows, against the bare group by", tenMillion),
    {
      // What a machine needs for ten times the rows is not its own doing: the bare query shows it.
      name:
        "growth of the metrics' time from 1 to 10 million rows, against that of the bare group by in the same run",
      value: growth,
      unit: "×",
      limit: 1.05,
      parts: [
        `time ${(tenMillion.totalMs / million.totalMs).toFixed(2)} times`,
        `the bare group by ${(tenMillion.bareMs / million.bareMs).toFixed(2)} times`,
        `rows ${(tenMillion.rows / million.rows).toFixed(2)} times`,
      ],
    },
  ];
}

function figure(name: string, measured: Measured): Figure {
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const count = (value: number) => value.toLocaleString("en-US");
  return {
    name,
    value: measured.totalMs / measured.bareMs,
    unit: "×",
    limit: 1.5,
    parts: [
      `bare select … group by ${ms(measured.bareMs)} over ${count(measured.rows)} rows`,
      `metrics ${ms(measured.totalMs)}: hours ${ms(measured.hoursMs)}, day ${
        ms(measured.daysMs)
      }, ` +
      `${count(measured.summaryRows)} summary rows written`,
    ],
  };
}

async function measure(sql: Sql, wantedRows: number, rounds: number): Promise<Measured> {
  const load = await Deno.readTextFile(new URL("metrics.sql", import.meta.url));
  const bareSelect = await Deno.readTextFile(new URL("metrics-bare.sql", import.meta.url));
  const devices = Math.round(wantedRows / rowsADevice);
  await sql`select set_config('bench.devices', ${String(devices)}, false)`;
  await sql.unsafe(load).simple();
  await sql`vacuum (analyze) public.device_activity_log, public.device_connection_sessions,
    public.charging_sessions, public.pop_events_ledger, public.engagement_commands`;

  const bare: number[] = [], hours: number[] = [], days: number[] = [], total: number[] = [];
  let rows = 0, summaryRows = 0;
  for (let round = -1; round < rounds; round++) {
    const bareMs = await milliseconds(async () => {
      const [sum] = await sql.unsafe(bareSelect);
      rows = sum!.rows;
    });
    await sql`truncate public.device_metrics_summary`;
    const listMs = await milliseconds(() =>
      sql`select public.aggregate_device_metrics_recompute(${day.from}, ${day.to})`
    );
    const hoursMs = await milliseconds(() =>
      sql`select public.aggregate_device_metrics_hours(24, ${day.from}, ${day.to})`
    );
    const daysMs = await milliseconds(() =>
      sql`select public.aggregate_device_metrics_days(1, ${day.from}, ${day.to})`
    );
    // The first round only fills the caches.
    if (round < 0) continue;
    bare.push(bareMs);
    hours.push(hoursMs);
    days.push(daysMs);
    total.push(listMs + hoursMs + daysMs);
  }
  const [counted] = await sql`select count(*)::int as rows,
      (sum(activity_events) filter (where device_id is null and granularity = 'day'))::int as events
    from public.device_metrics_summary`;
  summaryRows = counted!.rows;
  if (counted!.events !== rows) {
    throw new Error(`Cannot measure the metrics: ${counted!.events} of ${rows} rows were counted`);
  }
  return {
    rows,
    summaryRows,
    bareMs: Math.min(...bare),
    hoursMs: Math.min(...hours),
    daysMs: Math.min(...days),
    totalMs: Math.min(...total),
  };
}
