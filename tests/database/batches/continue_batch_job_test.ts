import assert from "node:assert/strict";
import { addBatch, addProvider } from "../../support/batch.ts";
import { rowsRead } from "../../support/rows-read.ts";
import { after, ledgerTest, NOON, register, runs } from "../../support/scheduler.ts";

ledgerTest(
  "continue_batch_job() keeps one waiting run for a batch job, at the earliest time asked for",
  async ({ sql }) => {
    await register(sql, "robust-batch-processor", { overlap_policy: "allow" });
    await addProvider(sql, "one");
    const id = await addBatch(sql, 1, ["one"], NOON);
    const other = await addBatch(sql, 1, ["one"], NOON);
    const goOn = async (job: string, minutes: number) => {
      const waitMs = minutes * 60_000;
      const [row] = await sql`select batches.continue_job(${job}, ${waitMs}, ${NOON}) as told`;
      return row!.told;
    };
    for (const minutes of [5, 3, 4]) assert.equal(await goOn(id, minutes), true);
    await goOn(other, 9);
    const waiting = async () =>
      (await runs(sql, "robust-batch-processor")).map((
        run,
      ) => [run.payload.batchJobId, run.status, run.run_after]);
    assert.deepEqual(await waiting(), [[id, "queued", after(3)], [other, "queued", after(9)]]);
    await goOn(id, 0);
    assert.deepEqual(await waiting(), [[id, "dispatched", null], [other, "queued", after(9)]]);
    await sql`select batches.cancel_job(${id}, 'enough', 'ann')`;
    assert.equal(await goOn(id, 0), false);
    assert.equal(await goOn(crypto.randomUUID(), 0), false);
    assert.equal((await waiting()).length, 2);
  },
);

ledgerTest(
  "heartbeat, release and continue read one batch job of thousands that are open",
  async ({ sql }) => {
    await register(sql, "robust-batch-processor", { overlap_policy: "allow", parallel_limit: 1 });
    await addProvider(sql, "one");
    const id = await addBatch(sql, 1, ["one"], NOON);
    const token = crypto.randomUUID();
    await sql`select batches.claim_tasks(${id}, ${token}, p_now => ${NOON})`;
    const add = async (from: number, to: number, over: boolean) => {
      await sql`
        insert into batch_jobs (organization_id, batch_date, rerun, time_zone, status, tasks_total, created_at, completed_at)
        select organization_id, batch_date, i, 'UTC', case when ${over} then 'completed' else 'pending' end, 1, created_at,
          case when ${over} then created_at end
        from batch_jobs, generate_series(${from}::int, ${to}::int) as i where id = ${id}`;
      await sql`
        insert into scheduler_runs (
          job_name, function_name, status, trigger, scheduled_for, payload, key, completed_at, verdict, waiting)
        select 'robust-batch-processor', 'robust-batch-processor', case when ${over} then 'completed' else 'queued' end, 'enqueued',
          created_at + rerun * interval '1 ms', jsonb_build_object('batchJobId', id), id, completed_at, case when ${over} then 'ok' end,
          case when not ${over} then jsonb_build_object('for', 'parallel_limit') end
        from batch_jobs where rerun between ${from} and ${to}`;
    };
    // The statistics are from a time when no batch job was open: thousands among millions do not change them.
    await sql`alter table scheduler_runs disable trigger user`;
    await add(1, 3_000, true);
    await sql`analyze batch_jobs, scheduler_runs`;
    await add(3_001, 3_500, false);
    await sql`
      update scheduler_runs set status = 'dispatched', dispatched_at = ${NOON}
      where id = (select id from scheduler_runs where status = 'queued' limit 1)`;
    const read = (call: string, ...args: unknown[]) =>
      rowsRead(
        sql,
        ["batch_jobs", "scheduler_runs"],
        (tx) => tx.unsafe(`select ${call}`, [id, ...args] as never[]),
      );
    for (
      const [call, ...args] of [
        ["batches.heartbeat_job($1, $2)", token],
        ["batches.release_tasks($1, $2)", token],
        ["batches.continue_job($1, 0, $2)", after(5)],
      ] as const
    ) {
      const rows = await read(call, ...args);
      assert.ok(
        rows.batch_jobs! < 20,
        `${call} read ${rows.batch_jobs} batch jobs of 501 that are open`,
      );
      // Besides these the queue is read for runs to send: as many as a step sends.
      assert.ok(
        rows.scheduler_runs! < 250,
        `${call} read ${rows.scheduler_runs} runs of 500 that wait`,
      );
    }
  },
);
