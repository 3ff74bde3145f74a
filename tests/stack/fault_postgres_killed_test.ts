// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import postgres from "postgres";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  passTime,
  registerJob,
  release,
  untilRestAnswers,
  untilStatus,
} from "../support/faults.ts";
import { run, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

/** Beats without a pause from connections of its own, until told to stop; errors of a dead server are expected. */
function beatAllTheTime(databaseUrl: string): () => Promise<void> {
  let stopped = false;
  const connections = [1, 2].map(async () => {
    // Without the types that it fetches when it connects: no code could catch that failure.
    const sql = postgres(databaseUrl, { max: 1, connect_timeout: 2, fetch_types: false });
    while (!stopped) {
      await beat(sql).catch(() => new Promise((resolve) => setTimeout(resolve, 20)));
    }
    await sql.end({ timeout: 1 });
  });
  return async () => {
    stopped = true;
    await Promise.all(connections);
  };
}

Deno.test("Postgres killed with -9 while runs are in flight", (test) =>
  withStack({ cron: false }, async (stack) => {
    const { sql, net } = stack;

    await test.step("a run at work delivers its receipt to the new server, one in pg_net's queue is lost and retried", async () => {
      await registerJob(sql, "at-work", { payload: { behaviour: "wait" } });
      await registerJob(sql, "in-queue");
      await registerJob(sql, "waits", { overlap_policy: "queue", payload: { behaviour: "wait" } });
      const atWork = await fire(sql, "at-work");
      const before = await fire(sql, "waits");
      await untilStatus(sql, atWork, "running");
      await untilStatus(sql, before, "running");
      const behind = await fire(sql, "waits");
      assert.equal((await run(sql, behind)).status, "queued");
      net.pause();
      const inQueue = await fire(sql, "in-queue");
      await stack.postgres.kill();
      await stack.postgres.start();
      net.resume();
      await untilRestAnswers(stack);
      const [queued] = await sql`select count(*)::int as count from net.http_request_queue`;
      assert.equal(queued!.count, 0, "the crash has emptied pg_net's tables");
      assert.equal((await run(sql, inQueue)).status, "dispatched");
      await release(sql);
      await untilStatus(sql, atWork, "completed");
      await untilStatus(sql, before, "completed");
      await untilStatus(sql, behind, "completed");
      await passTime(sql, 61);
      await beatUntilIdle(sql);
      assert.deepEqual(await summary(sql, "in-queue"), [
        "failed cron 1 lost",
        "completed retry 2 ok",
      ]);
      assert.equal((await summary(sql, "at-work")).length, 1);
      assert.equal((await summary(sql, "waits")).length, 2);
      await assertAllRunsOver(sql);
    });

    await test.step("a run that ends while there is no database delivers its receipt later", async () => {
      await registerJob(sql, "ends-meanwhile", { payload: { workMs: 700 } });
      const id = await fire(sql, "ends-meanwhile");
      await untilStatus(sql, id, "running");
      await stack.postgres.kill();
      await waitUntil(
        "the receipt that nobody takes",
        async () =>
          (await Deno.readTextFile(`${stack.dataDirectory}/functions.log`))
            .includes("cannot deliver the receipt"),
      );
      await stack.postgres.start();
      await untilStatus(sql, id, "completed");
      await beatUntilIdle(sql);
      assert.equal((await summary(sql, "ends-meanwhile")).length, 1);
      await assertAllRunsOver(sql);
    });

    await test.step("in the midst of pulses and receipts: every occurrence completes once", async () => {
      const jobs = ["skip", "queue", "allow"].flatMap((policy) => [`${policy}-a`, `${policy}-b`]);
      for (const job of jobs) {
        await registerJob(sql, job, {
          overlap_policy: job.split("-")[0],
          max_attempts: 10,
          payload: { workMs: 20 },
        });
      }
      for (let round = 0; round < 3; round++) {
        for (const job of jobs) await fire(sql, job);
        const stopBeating = beatAllTheTime(stack.databaseUrl);
        await waitUntil("the first receipts", async () => {
          const [row] = await sql`
            select from scheduler_runs where job_name in ${sql(jobs)} and started_at is not null
              and created_at > now() - interval '2 seconds' limit 1`;
          return row;
        });
        await stack.postgres.kill();
        await stopBeating();
        await stack.postgres.start();
        await untilRestAnswers(stack);
      }
      // A receipt of the old server may still come; what was begun and is not heard of again has stalled.
      await waitUntil("the end of all that lives", async () => {
        await passTime(sql, 61);
        await beatUntilIdle(sql, 5_000).catch(() => {});
        const [row] = await sql`select from scheduler_runs where completed_at is null limit 1`;
        return !row;
      }, 40_000);
      const rows = await sql`
        select job_name, scheduled_for, count(*) filter (where status in ('completed', 'skipped'))::int as done
        from scheduler_runs where job_name in ${sql(jobs)} group by 1, 2`;
      assert.ok(rows.length >= jobs.length, "occurrences were dispatched");
      assert.deepEqual(rows.filter((row) => row.done !== 1), []);
      await assertAllRunsOver(sql);
    });
  }));
