import type { Sql } from "postgres";
import { type DemoStep, makeDemoData } from "../cli/make-demo-data.ts";
import { type Figure, milliseconds } from "./figure.ts";

/** What docs/jobs/aggregate-device-metrics.md says of it, at a present that makes every bench the same. */
const options = { devices: 125, days: 10, seed: 1, until: new Date("2026-03-11T12:00:00Z") };
const leastRows = 1_000_000;

/** How long `deno task demo-data` takes for a million activity rows and what belongs to them. */
export async function benchDemoData(sql: Sql): Promise<Figure> {
  const steps: DemoStep[] = [];
  const totalMs = await milliseconds(() => makeDemoData(sql, options, (step) => steps.push(step)));
  const activity = steps.find((step) => step.table === "device_activity_log")?.rows ?? 0;
  if (activity < leastRows) {
    throw new Error(
      `Cannot measure the demo data: activity rows must be at least ${leastRows}, got ${activity}`,
    );
  }
  return {
    name: "demo data of 125 devices and 10 days, committed",
    value: totalMs,
    unit: "ms",
    limit: 60_000,
    parts: steps.map(({ table, rows, durationMs }) =>
      `${table}: ${rows.toLocaleString("en-US")} rows in ${durationMs.toFixed(0)} ms`
    ),
  };
}
