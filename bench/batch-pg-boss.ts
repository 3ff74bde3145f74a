import { PgBoss } from "pg-boss";
import type { Sql } from "postgres";
import type { Contestant } from "./batch-contestant.ts";

const queue = "no-op";
const options = {
  batchSize: 500,
  localConcurrency: 4,
  burstWhenBatchFull: true,
  pollingIntervalSeconds: 0.5,
};

/**
 * pg-boss as the documentation of `work()` has it for a backlog: batches, several workers, and the next batch fetched
 * at once as long as they come back full. Its own upkeep (supervise, schedule) is off.
 */
export async function startPgBoss(connectionString: string, sql: Sql): Promise<Contestant> {
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  await boss.createQueue(queue);
  return {
    name: "pg-boss",
    setting:
      `localConcurrency ${options.localConcurrency}, batchSize ${options.batchSize}, burstWhenBatchFull`,
    async fill(count) {
      // The workers of the round before have nothing left to do.
      await boss.offWork(queue);
      await boss.insert(queue, Array.from({ length: count }, (_, id) => ({ data: { id } })));
      await sql`vacuum analyze pgboss.job_common`;
    },
    async drain(count) {
      let left = count;
      const allDone = Promise.withResolvers<void>();
      await boss.work(queue, options, (jobs) => {
        left -= jobs.length;
        if (left === 0) allDone.resolve();
        return Promise.resolve();
      });
      await allDone.promise;
      for (let open = true; open;) {
        const [row] = await sql`
          select exists (select from pgboss.job where name = ${queue} and state < 'completed') as open`;
        open = row!.open;
      }
    },
    stop: () => boss.stop({ graceful: false }),
  };
}
