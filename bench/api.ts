import postgres, { type Sql } from "postgres";
import { startStack } from "../local/stack.ts";
import { type Figure, median, milliseconds, quantile } from "./figure.ts";

const perSecond = 20;
const seconds = 15;

/**
 * Each page of the API at twenty requests a second, on a thousand jobs and a million runs: through the gateway, the
 * function, PostgREST and back, to the last byte. A request is counted from the moment at which it was to be sent, so
 * that waiting behind others counts.
 */
export async function benchApi(): Promise<Figure[]> {
  const stack = await startStack({ cron: false, settings: { fsync: "off" } });
  try {
    const admin = postgres(stack.adminUrl, { max: 1, onnotice: () => {} });
    await admin`select scheduler.unregister_job(name) from public.scheduler_jobs where depends_on <> '{}'`;
    await admin`select scheduler.unregister_job(name) from public.scheduler_jobs`;
    await admin.unsafe(await Deno.readTextFile(new URL("api.sql", import.meta.url))).simple();
    await admin`vacuum analyze`;
    const figures: Figure[] = [await forecastCost(admin)];
    for (const page of await pages(stack.sql)) {
      const ask = () =>
        fetch(`${stack.apiUrl}/functions/v1/cron/${page}`, {
          headers: { "x-cron-secret": stack.keys.cronSecret },
        });
      figures.push(await measurePage(page, ask));
    }
    figures.push(await indexCost(admin));
    await admin.end();
    return figures;
  } finally {
    await stack.stop();
  }
}

/** All but `verify`, which calls functions, and is asked once a deployment. */
async function pages(sql: Sql): Promise<string[]> {
  const [run] =
    await sql`select id from public.scheduler_runs where job_name = 'bench-0500' limit 1`;
  return [
    "status",
    "health",
    "health/service-500",
    "metrics",
    "forecast",
    "history",
    "history?job=bench-0500",
    "history?status=failed",
    "failures",
    "logs",
    `runs/${run!.id}`,
    "explain?job=bench-0500",
    "next",
    "next?job=bench-0500",
    "timeline",
    "channels",
    "audit-log",
  ];
}

async function measurePage(page: string, ask: () => Promise<Response>): Promise<Figure> {
  let bytes = 0;
  const take = async (due: number) => {
    const response = await ask();
    const text = await response.text();
    bytes = Math.max(bytes, text.length);
    // A page that says that something is stalled answers 503, too.
    return text.startsWith('{"error"') ? Infinity : performance.now() - due;
  };
  const alone: number[] = [];
  for (let call = -5; call < 20; call++) {
    const lag = await take(performance.now());
    // The first ones boot the worker and fill the caches.
    if (call >= 0) alone.push(lag);
  }
  const begin = performance.now();
  const lags = await Promise.all(Array.from({ length: perSecond * seconds }, async (_, place) => {
    const due = begin + place * 1000 / perSecond;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    return await take(due);
  }));
  const failed = lags.filter((lag) => lag === Infinity).length;
  return {
    name: `${page.replace(/^runs\/.*/, "runs/<id>")} at ${perSecond} requests a second (p99)`,
    value: quantile(lags, 0.99),
    unit: "ms",
    limit: 150,
    parts: [
      `p50 ${median(lags).toFixed(0)} ms, slowest of ${lags.length} ${
        Math.max(...lags).toFixed(0)
      } ms, ${failed} failed; asked alone ${median(alone).toFixed(0)} ms`,
      `${(bytes / 1024).toFixed(0)} KiB; load of the machine ${Deno.loadavg()[0]!.toFixed(1)}`,
    ],
  };
}

/** What the pulse takes for a job, once a day: a thousand of them with two years of days each, some of which grow. */
async function forecastCost(admin: Sql): Promise<Figure> {
  const perJob: number[] = [];
  let outgrown = 0;
  for (let round = 0; round < 3; round++) {
    await admin`delete from scheduler.job_forecasts`;
    const taken = await milliseconds(() =>
      admin`select scheduler.attend_forecasts(now(), 1000000000)`
    );
    const [made] = await admin`
      select count(*)::int as jobs, count(outgrows_on)::int as outgrown from scheduler.job_forecasts`;
    perJob.push(taken / made!.jobs);
    outgrown = made!.outgrown;
  }
  const [size] = await admin`
    select pg_total_relation_size('scheduler.job_days')::float8 / 1024 / 1024 as mib`;
  return {
    name:
      "a job's forecast, made once a day of 1,000 jobs with two years of days (p50 of 3 rounds)",
    value: median(perJob),
    unit: "ms",
    limit: 25,
    parts: [
      `${outgrown} of 1,000 jobs outgrow a limit; the days of all take ${size!.mib.toFixed(0)} MiB`,
    ],
  };
}

/** What the ledger's index by creation time costs an insert. */
async function indexCost(admin: Sql): Promise<Figure> {
  const insert = (sql: Sql) =>
    sql`
      insert into public.scheduler_runs (job_name, status, trigger, scheduled_for, dispatched_at, started_at)
      select 'bench-' || i % 1000, 'running', 'manual', now(), now(), now() from generate_series(1, 10000) as i`;
  const nothingStays = new Error("rolled back");
  const take = async (withIndex: boolean) => {
    let taken = NaN;
    await admin.begin(async (transaction) => {
      if (!withIndex) await transaction`drop index public.scheduler_runs_created_at_idx`;
      taken = await milliseconds(() => insert(transaction as unknown as Sql));
      throw nothingStays;
    }).catch((error) => {
      if (error !== nothingStays) throw error;
    });
    return taken;
  };
  const [withIndex, without]: [number[], number[]] = [[], []];
  for (let round = 0; round < 9; round++) {
    withIndex.push(await take(true));
    without.push(await take(false));
  }
  return {
    name: "10,000 rows into the ledger, against the same without its index by created_at (p50)",
    value: median(withIndex) / median(without),
    unit: "×",
    limit: 1.15,
    parts: [`${median(withIndex).toFixed(0)} ms and ${median(without).toFixed(0)} ms`],
  };
}
