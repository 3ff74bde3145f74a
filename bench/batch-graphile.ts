import { Logger, makeWorkerUtils, run, type Runner } from "graphile-worker";
import type { Sql } from "postgres";
import type { Contestant } from "./batch-contestant.ts";

const pools = 4;
const worker = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

/**
 * graphile-worker with the settings of the quick stats of https://worker.graphile.org/docs/performance: four pools, a
 * local queue of 500, completed in batches. The pools are there before the tasks; these show with the commit.
 */
export async function startGraphileWorker(connectionString: string, sql: Sql): Promise<Contestant> {
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  await utils.release();
  let left = 0;
  let allDone = Promise.withResolvers<void>();
  const taskList = {
    "no-op": () => {
      if (--left === 0) allDone.resolve();
    },
  };
  const runners: Runner[] = [];
  for (let pool = 0; pool < pools; pool++) {
    const preset = { worker: { ...worker, connectionString, logger } };
    runners.push(await run({ preset, taskList, noHandleSignals: true }));
  }
  const filling = await sql.reserve();
  return {
    name: "graphile-worker",
    setting:
      `${pools} pools, concurrentJobs ${worker.concurrentJobs}, localQueue ${worker.localQueue.size}, ` +
      `completeJobBatchDelay ${worker.completeJobBatchDelay}`,
    async fill(count) {
      await sql`vacuum analyze graphile_worker._private_jobs`;
      left = count;
      allDone = Promise.withResolvers();
      await filling`begin`;
      await filling`
        select from graphile_worker.add_jobs((
          select array_agg((
            'no-op', json_build_object('id', i), null, null, null, null, null, null)::graphile_worker.job_spec)
          from generate_series(1, ${count}::integer) as i))`;
    },
    async drain() {
      await filling`commit`;
      await allDone.promise;
      for (let open = true; open;) {
        const [row] = await sql`select exists (select from graphile_worker._private_jobs) as open`;
        open = row!.open;
      }
    },
    async stop() {
      filling.release();
      await Promise.all(runners.map((runner) => runner.stop()));
    },
  };
}
