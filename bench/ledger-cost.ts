import type { Sql } from "postgres";
import { type Figure, median, milliseconds } from "./figure.ts";

const runs = 300;

/**
 * What the ledger costs a run: dispatch, begin and finish as three statements of their own, each with its commit and
 * its round trip on loopback, over a ledger that is not empty.
 */
export async function benchLedgerCost(sql: Sql): Promise<Figure> {
  await sql`select scheduler.register_job('bench-job', '* * * * *')`;
  const start = Date.parse("2030-01-01T00:00:00Z");
  await sql`update public.scheduler_jobs set next_run_at = ${new Date(
    start,
  )} where name = 'bench-job'`;
  const parts: Record<"dispatch" | "begin" | "finish" | "round trip", number[]> = {
    dispatch: [],
    begin: [],
    finish: [],
    "round trip": [],
  };
  const totals: number[] = [];
  for (let i = 0; i < runs; i++) {
    const now = new Date(start + i * 60_000);
    let id = "";
    const dispatch = await milliseconds(async () => {
      const [row] = await sql`select scheduler.dispatch('bench-job', ${now}) as id`;
      id = row!.id;
    });
    const begin = await milliseconds(() =>
      sql`select scheduler.begin_run(${id}, 'bench-job', 'bench', ${now})`
    );
    const finish = await milliseconds(() =>
      sql`select scheduler.finish_run(${id}, 'completed', '{"summary": "done"}', p_now => ${now})`
    );
    parts.dispatch.push(dispatch);
    parts.begin.push(begin);
    parts.finish.push(finish);
    parts["round trip"].push(await milliseconds(() => sql`select 1`));
    totals.push(dispatch + begin + finish);
  }
  const [ledger] = await sql`
    select count(*)::int as completed from public.scheduler_runs
    where job_name = 'bench-job' and status = 'completed'`;
  if (ledger!.completed !== runs) {
    throw new Error(`Cannot measure the ledger: ${ledger!.completed} of ${runs} runs completed`);
  }
  return {
    name: "what the ledger costs a run (p50 of dispatch + begin + finish)",
    value: median(totals),
    unit: "ms",
    limit: 5,
    parts: Object.entries(parts).map(([name, values]) => `${name} ${median(values).toFixed(2)} ms`),
  };
}
