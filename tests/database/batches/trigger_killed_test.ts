// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { waitUntil } from "../../support/wait-until.ts";
import * as t from "../../support/daily-batch.ts";
import { runs } from "../../support/scheduler.ts";

const AT = "2026-03-02T18:00:00Z";
const CALL = "select batches.trigger_daily(p_zones => $1, p_force => true, p_now => $2)";

/** Everything a trigger writes, counted. */
async function written(sql: Sql): Promise<number[]> {
  const [row] = await sql`
    select (select count(*) from scheduler_state)::int as marks, (select count(*) from batch_jobs)::int as jobs,
      (select count(*) from batch_tasks)::int as tasks,
      (select count(*) from scheduler_runs where job_name = 'robust-batch-processor')::int as runs`;
  return Object.values(row!);
}

t.batchTest("20 triggers at once: one batch for each organization", async (db) => {
  for (let n = 0; n < 50; n++) {
    await t.organization(db.sql, `P${n}`);
    await t.organization(db.sql, `Z${n}`, { time_zone: "Asia/Tokyo" });
  }
  const callers = Array.from({ length: 20 }, () => db.connect());
  await Promise.all(callers.map((caller) => caller`select 1`));
  for (const zones of [false, true]) {
    const told = await Promise.all(callers.map((caller) => caller.unsafe(CALL, [zones, AT])));
    const batches = told.map(([row]) => row!.trigger_daily.batches);
    assert.deepEqual(batches.sort((one, other) => other - one), [50, ...Array(19).fill(0)]);
  }
  // Both jobs at the same tick of the next day.
  const next = "2026-03-03T18:00:00Z";
  await Promise.all(callers.map((caller, n) => caller.unsafe(CALL, [n % 2 === 0, next])));
  const twice = await db.sql`
    select organization_id from batch_jobs group by organization_id, batch_date having count(*) <> 1`;
  assert.deepEqual([...twice], []);
  assert.deepEqual(await written(db.sql), [101, 200, 400, 200]);
});

t.batchTest(
  "a trigger whose connection is killed at any step leaves nothing, and the next tick begins the whole day",
  async (db) => {
    const { sql, admin } = db;
    const acme = await t.organization(sql, "Acme");
    const zoned = await t.organization(sql, "Zoned", { time_zone: "Asia/Tokyo" });
    const steps = [
      "scheduler_state",
      "organizations",
      "batch_jobs",
      "batch_tasks",
      "scheduler_jobs",
      "scheduler_runs",
    ];
    for (const zones of [true, false]) {
      for (const table of steps.filter((table) => zones || table !== "organizations")) {
        const before = await written(sql);
        const victim = db.connect();
        const [{ pid }] = await victim`select pg_backend_pid() as pid` as unknown as [
          { pid: number },
        ];
        await sql.begin(async (holder) => {
          await holder.unsafe(`lock table ${table} in exclusive mode`);
          const call = victim.unsafe(CALL, [zones, AT]).then(() => "done", () => "killed");
          await waitUntil(`a wait for ${table}`, async () => {
            const [row] = await admin`select cardinality(pg_blocking_pids(${pid})) > 0 as blocked`;
            return row!.blocked;
          });
          await admin`select pg_terminate_backend(${pid}, 5000)`;
          assert.equal(await call, "killed", table);
        });
        assert.deepEqual(await written(sql), before, `${table}: all or nothing`);
      }
      assert.equal((await t.trigger(sql, AT, { zones, force: true })).batches, 1);
      assert.equal((await t.trigger(sql, AT, { zones, force: true })).batches, 0);
    }
    assert.deepEqual(await t.dates(sql, acme), ["2026-03-02"]);
    assert.deepEqual(await t.dates(sql, zoned), ["2026-03-03"]);
    assert.equal((await runs(sql, "robust-batch-processor")).length, 2);
  },
);
