import type { Sql } from "postgres";
import { describeRun, endedSince } from "./runs.ts";

const POLL_MS = 1000;
/** Rows become visible a little after the time they carry. */
const OVERLAP_MS = 10_000;

/** Prints one line for each run as it ends, until the signal. */
export async function printRuns(
  sql: Sql,
  nameWidth: number,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const [start] = await sql<{ now: Date }[]>`select clock_timestamp() as now`;
  let newest = start!.now;
  let printed = new Map<string, Date>();
  let complaint = "";
  while (!signal.aborted) {
    const since = new Date(Math.max(newest.getTime() - OVERLAP_MS, start!.now.getTime()));
    try {
      for (const run of await endedSince(sql, since)) {
        if (printed.has(run.id)) continue;
        printed.set(run.id, run.ended_at);
        if (run.ended_at > newest) newest = run.ended_at;
        const [time, name, status, duration, found] = describeRun(run);
        print(
          `${time}  ${name!.padEnd(nameWidth)}  ${status!.padEnd(9)}  ${
            duration!.padStart(8)
          }  ${found}`,
        );
      }
      printed = new Map([...printed].filter(([, endedAt]) => endedAt >= since));
      complaint = "";
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== complaint && !signal.aborted) print(`Cannot read the ledger: ${message}`);
      complaint = message;
    }
    await pause(POLL_MS, signal);
  }
}

/** Waits; ends at once when the signal comes. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const end = () => resolve();
  signal.addEventListener("abort", end, { once: true });
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}
