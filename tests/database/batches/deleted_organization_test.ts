import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { addBatch, addProvider, processor, result } from "../../support/batch.ts";
import { batchTest, dates, organization, trigger } from "../../support/daily-batch.ts";
import { withDatabase } from "../../support/database.ts";
import { NOON } from "../../support/scheduler.ts";
import { waitUntil } from "../../support/wait-until.ts";

/** Until a session waits for a lock in this database. */
async function somebodyWaits(sql: Sql): Promise<void> {
  await waitUntil("a session to wait for a lock", async () => {
    const [row] = await sql`
      select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    return row!.count > 0;
  });
}

for (const zone of [null, "Asia/Tokyo"]) {
  const kind = zone === null ? "that follows the platform" : "with a zone of its own";
  for (const others of [0, 1, 2]) {
    batchTest(
      `an organization ${kind} that is deleted during the tick costs ${others} others nothing`,
      async ({ sql, connect }) => {
        await sql`delete from organizations`;
        const deleted = await organization(sql, "deleted", { time_zone: zone });
        const ids = [];
        for (let n = 0; n < others; n++) {
          ids.push(await organization(sql, `other ${n}`, { time_zone: zone }));
        }
        const deleter = connect();
        await deleter`begin`;
        await deleter`delete from organizations where id = ${deleted}`;
        const ticks = trigger(connect(), "2026-03-02T12:00:00Z", {
          zones: zone !== null,
          force: true,
        });
        await somebodyWaits(sql);
        await deleter`commit`;
        const told = await ticks;
        assert.deepEqual([told.outcome, told.batches, told.problems], [
          "started",
          others,
          undefined,
        ]);
        for (const id of ids) assert.deepEqual(await dates(sql, id), ["2026-03-02"]);
      },
    );
  }
}

Deno.test("deleting an organization waits for its processor, and neither fails", () =>
  withDatabase(async ({ sql, connect }) => {
    await addProvider(sql, "one");
    const id = await addBatch(sql, 5, ["one"], NOON);
    const { token, claim } = processor(sql, id);
    const { tasks } = await claim(5, NOON);
    const [writer, deleter] = [connect(), connect()];
    await writer`begin`;
    // The first statement of finish_tasks.
    await writer`select batches.lock_job(${id})`;
    const deleting = deleter`
      delete from organizations where id = (select organization_id from batch_jobs where id = ${id})`;
    deleting.catch(() => {});
    const isRunning = deleting.execute();
    await somebodyWaits(sql);
    const results = tasks.map((task: { id: number; answerer: string }) => result(task, "answered"));
    const [told] = await writer`
      select batches.finish_tasks(${id}, ${token}, ${writer.json(results)}, ${NOON}) as told`;
    assert.equal(told!.told.accepted, 5);
    await writer`commit`;
    await isRunning;
    assert.deepEqual([...await sql`select from batch_jobs where id = ${id}`], []);
  }));
