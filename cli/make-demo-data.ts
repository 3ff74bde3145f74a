import type { Sql } from "postgres";

export interface DemoDataOptions {
  devices: number;
  /** Days before `until` to fill. */
  days: number;
  /** The same options give the same rows. */
  seed: number;
  /** The demo world's present: what goes on past it is still open. */
  until: Date;
}

/** What one step made. */
export interface DemoStep {
  table: string;
  rows: number;
  durationMs: number;
}

/**
 * Fills the device tables with days of a fleet that looks alive, in one transaction. Rows that are there already
 * are left alone, or brought up to `until`.
 */
export async function makeDemoData(
  sql: Sql,
  options: DemoDataOptions,
  onStep: (step: DemoStep) => void = () => {},
): Promise<void> {
  const source = await Deno.readTextFile(new URL("demo-data.sql", import.meta.url));
  const [, ...steps] = source.split(/^-- step: /m);
  await sql.begin(async (transaction) => {
    await transaction`select
      set_config('demo.devices', ${String(options.devices)}, true),
      set_config('demo.days', ${String(options.days)}, true),
      set_config('demo.seed', ${String(options.seed)}, true),
      set_config('demo.until', ${options.until.toISOString()}, true),
      set_config('statement_timeout', '0', true)`;
    for (const step of steps) {
      const endOfName = step.indexOf("\n");
      const table = step.slice(0, endOfName).trim();
      const begunAt = performance.now();
      const result = await transaction.unsafe(step.slice(endOfName)).simple();
      const durationMs = performance.now() - begunAt;
      if (table !== "preparation") onStep({ table, rows: result.count, durationMs });
    }
  });
}
