import postgres from "postgres";
import { startStack } from "../local/stack.ts";
import { type Figure, median } from "./figure.ts";

const scrapes = 100;

/**
 * A scrape as Prometheus makes it, through the gateway, the function, PostgREST and back, to the last byte of the text,
 * while the ledger holds ten million rows.
 */
export async function benchScrape(): Promise<Figure[]> {
  const stack = await startStack({ cron: false, settings: { fsync: "off" } });
  try {
    const admin = postgres(stack.adminUrl, { max: 1, onnotice: () => {} });
    await admin.unsafe(await Deno.readTextFile(new URL("scrape.sql", import.meta.url))).simple();
    const [ledger] = await admin`select count(*)::int as rows from public.scheduler_runs`;
    const jobs =
      (await stack.sql`select count(*)::int as jobs from public.scheduler_jobs`)[0]!.jobs;
    await admin.end();
    const durations: number[] = [];
    let text = "";
    for (let scrape = -3; scrape < scrapes; scrape++) {
      const startedAt = performance.now();
      const response = await fetch(`${stack.apiUrl}/functions/v1/prometheus-metrics`, {
        headers: { "x-cron-secret": stack.keys.cronSecret, "accept-encoding": "gzip" },
      });
      text = await response.text();
      if (response.status !== 200) throw new Error(`Cannot measure the scrape: ${text}`);
      // The first ones boot the worker.
      if (scrape >= 0) durations.push(performance.now() - startedAt);
    }
    const startedAt = performance.now();
    for (let call = 0; call < 10; call++) await stack.sql`select public.prometheus_metrics()`;
    const databaseMs = (performance.now() - startedAt) / 10;
    const sorted = [...durations].sort((a, b) => a - b);
    const count = (value: number) => value.toLocaleString("en-US");
    return [{
      name: "a scrape of 1,000 jobs over 10 million ledger rows (p50)",
      value: median(durations),
      unit: "ms",
      limit: 200,
      parts: [
        `p95 ${sorted[94]!.toFixed(0)} ms, slowest of ${scrapes} ${sorted.at(-1)!.toFixed(0)} ms`,
        `of which the database, asked alone, ${databaseMs.toFixed(0)} ms`,
        `${count(jobs)} jobs, ${count(ledger!.rows)} ledger rows`,
        `${count(text.split("\n").length - 1)} lines, ${(text.length / 1e6).toFixed(1)} MB`,
      ],
    }];
  } finally {
    await stack.stop();
  }
}
