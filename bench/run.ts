/** `deno task bench`: the figures of docs/architecture.md, each measured now, with its parts. */
import postgres from "postgres";
import { readArguments } from "../cli/arguments.ts";
import { withScratchDatabase } from "../local/scratch-database.ts";
import { benchActions } from "./actions.ts";
import { benchApi } from "./api.ts";
import { benchConnections } from "./connections.ts";
import { benchBudgets } from "./budgets.ts";
import { benchBatchIdle } from "./batch-idle.ts";
import { benchBatchQueues } from "./batch-queues.ts";
import { benchCoordination } from "./coordination.ts";
import { benchDemoData } from "./demo-data.ts";
import { benchDispatch } from "./dispatch.ts";
import { type Figure, held } from "./figure.ts";
import { benchFollowUp } from "./follow-up.ts";
import { benchLedgerCost } from "./ledger-cost.ts";
import { benchMetrics } from "./metrics.ts";
import { benchMinute } from "./minute.ts";
import { benchOutage } from "./outage.ts";
import { benchPulse } from "./pulse.ts";
import { benchScrape } from "./scrape.ts";
import { benchThousandJobs } from "./thousand-jobs.ts";

const benches: Record<string, () => Promise<Figure[]>> = {
  actions: () => onDatabase(benchActions),
  api: benchApi,
  connections: () => onDatabase(async (sql) => [await benchConnections(sql)]),
  "batch-idle": () => onDatabase(async (sql) => [await benchBatchIdle(sql)]),
  "batch-queues": () => withScratchDatabase(benchBatchQueues),
  budgets: () => withScratchDatabase(benchBudgets),
  coordination: benchCoordination,
  "demo-data": () => onDatabase(async (sql) => [await benchDemoData(sql)]),
  dispatch: benchDispatch,
  "follow-up": benchFollowUp,
  ledger: () => onDatabase(async (sql) => [await benchLedgerCost(sql)]),
  metrics: () => onDatabase(benchMetrics),
  minute: benchMinute,
  outage: () => onDatabase((sql, other) => benchOutage(sql, other)),
  pulse: () => onDatabase(async (sql) => [await benchPulse(sql)]),
  scrape: benchScrape,
  "thousand-jobs": benchThousandJobs,
};

/** Runs a bench on a migrated database of its own whose Vault holds what dispatch needs, with two connections. */
function onDatabase(
  bench: (sql: postgres.Sql, other: postgres.Sql) => Promise<Figure[]>,
): Promise<Figure[]> {
  return withScratchDatabase(async ({ url }) => {
    const connect = () => postgres(url, { max: 1, onnotice: () => {} });
    const [sql, other] = [connect(), connect()];
    try {
      await sql`select vault.create_secret('http://127.0.0.1:1', 'project_url')`;
      await sql`select vault.create_secret(${crypto.randomUUID()}, 'cron_secret')`;
      return await bench(sql, other);
    } finally {
      await Promise.all([sql.end(), other.end()]);
    }
  });
}

const USAGE =
  `Measure the figures of docs/architecture.md, each a ratio in one run. Fails when a limit is missed.

deno task bench [names] [options]

  names   which of ${Object.keys(benches).join(", ")} (all)
  --help  this text`;

const { positionals } = readArguments(USAGE, {}, { allowPositionals: true });
const wanted = positionals.length > 0 ? positionals : Object.keys(benches);
let missed = 0;
for (const name of wanted) {
  const bench = benches[name];
  if (bench === undefined) {
    console.error(
      `Cannot run the bench ${name}: it must be one of ${Object.keys(benches).join(", ")}`,
    );
    Deno.exit(1);
  }
  for (const figure of await bench()) {
    const { value, unit, limit, bound = "at most" } = figure;
    if (!held(figure)) missed++;
    console.log(
      `${held(figure) ? "ok  " : "MISS"} ${figure.name}: ${
        value.toFixed(2)
      } ${unit} (${bound} ${limit} ${unit})`,
    );
    for (const part of figure.parts) console.log(`       ${part}`);
  }
}
Deno.exit(missed === 0 ? 0 : 1);
