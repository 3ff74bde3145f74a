import assert from "node:assert/strict";
import type { Row } from "postgres";
import { moveClock } from "../../support/clock.ts";
import * as t from "../../support/daily-batch.ts";
import { begin, finish, pulse, register, value } from "../../support/scheduler.ts";
import { assertQuick, timed } from "../../support/assert-quick.ts";

const ORGANIZATIONS = 10_000;
const AT = new Date("2026-03-02T08:00:00Z");
const after = (seconds: number) => new Date(AT.getTime() + seconds * 1000);

t.batchTest(
  "10,000 organizations due at one tick are begun within a REST call, and their queue slows neither pulse nor dispatch",
  async (db) => {
    const { sql } = db;
    await sql`
    with made as (
      insert into organizations (name, time_zone, created_at)
      select 'organization ' || n, case when n % 2 = 0 then 'America/New_York' end, '2026-01-01'
      from generate_series(1, ${ORGANIZATIONS}) as n returning id
    )
    insert into prompts (organization_id, text) select id, 'prompt' from made`;
    await register(sql, "other", { schedule: "* * * * *" }, after(60));
    const service = db.connect("service_role", { connection: { statement_timeout: 8_000 } });
    await sql`update scheduler_jobs set next_run_at = '2026-03-03' where name <> 'other' and schedule is not null`;
    const quiet = await timed(() => pulse(sql, after(0)));

    await moveClock(sql, AT);
    for (const zones of [false, true]) {
      let told: Row = {};
      const [row] = await service`select trigger_daily_batch(p_zones => ${zones}) as told`;
      told = row!.told;
      assert.deepEqual([told.batches, told.tasks], [ORGANIZATIONS / 2, ORGANIZATIONS]);
    }
    const states = async () =>
      Object.fromEntries((await sql<{ status: string; count: number }[]>`
      select status, count(*)::int from scheduler_runs where job_name = 'robust-batch-processor' group by 1`)
        .map(({ status, count }) => [status, count]));
    const limit: number = await value(
      sql,
      "(select parallel_limit from scheduler_jobs where name = 'robust-batch-processor')",
    );
    assert.deepEqual(await states(), { dispatched: limit, queued: ORGANIZATIONS - limit });

    let ended = 0;
    await assertQuick("the end of one run, which sends the next", 500, async () => {
      const [run] = await sql`
        select id from scheduler_runs where job_name = 'robust-batch-processor' and status = 'dispatched' limit 1`;
      await begin(sql, run!.id, after(1), "robust-batch-processor");
      ended += 1;
      return timed(() => finish(sql, run!.id, "completed", after(2)));
    });
    assert.deepEqual(await states(), {
      completed: ended,
      dispatched: limit,
      queued: ORGANIZATIONS - limit - ended,
    });
    let second = 10;
    await assertQuick(
      "a pulse beside the queue",
      quiet + 500,
      () => timed(() => pulse(sql, after(second++))),
    );
    let minute = 1;
    await assertQuick(
      "a dispatch beside the queue",
      500,
      () => timed(() => value(sql, "scheduler.dispatch('other', $1)", [after(60 * minute++)])),
    );
  },
);
