import type { Sql } from "postgres";
import { pause } from "./run-feed.ts";

const BEAT_MS = 60_000;

/** Lets the demo world of supabase/seed.sql go on by a minute. Where it was not loaded nothing happens. */
export async function beatDemoLife(sql: Sql): Promise<void> {
  const statements = await Deno.readTextFile(new URL("demo-life.sql", import.meta.url));
  await sql.begin((transaction) => transaction.unsafe(statements));
}

/** Lets it go on each minute until the signal. What a person did to its tables stops it, and is said once. */
export async function keepDemoAlive(
  sql: Sql,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let complaint = "";
  while (!signal.aborted) {
    try {
      await beatDemoLife(sql);
      complaint = "";
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== complaint && !signal.aborted) print(`The demo data stands still: ${message}`);
      complaint = message;
    }
    await pause(BEAT_MS, signal);
  }
}
