// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

const DAY = 24 * 60;

async function insertRuns(
  sql: Sql,
  status: string,
  verdict: string,
  ageMinutes: number,
  count = 1,
) {
  await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, completed_at, verdict)
    select 'old', ${status}, 'manual', ${t.NOON}, ${t.after(-ageMinutes)}, ${verdict}
    from generate_series(1, ${count}::int)`;
}

t.ledgerTest("prune keeps failures longer than successes, in both logs", async ({ sql, admin }) => {
  for (
    const [status, verdict, days] of [
      ["completed", "ok", 14],
      ["skipped", "skipped", 14],
      ["failed", "lost", 90],
      ["missed", "missed", 90],
      ["cancelled", "cancelled", 90],
    ] as const
  ) {
    await insertRuns(sql, status, verdict, days * DAY + 1);
    await insertRuns(sql, status, verdict, days * DAY - 1);
  }
  await admin`
    insert into cron.job_run_details (runid, username, database, command, status, start_time, end_time)
    select row_number() over (), 'postgres', current_database(), 'select scheduler.dispatch(''old'')', status,
      ${t.NOON}::timestamptz - age, ${t.NOON}::timestamptz - age
    from (values ('succeeded', interval '3 days 1 minute'), ('succeeded', interval '2 days 23 hours'),
      ('failed', interval '7 days 1 minute'), ('failed', interval '6 days')) as details (status, age)`;
  assert.deepEqual(await t.value(sql, "scheduler.prune($1)", [t.NOON]), {
    pruned: 7,
    more: false,
  });
  const left = (await t.runs(sql, "old")).map((row) => row.status).sort();
  assert.deepEqual(left, ["cancelled", "completed", "failed", "missed", "skipped"]);
  const details = await sql`select runid::int from cron.job_run_details order by runid`;
  assert.deepEqual(details.map((row) => row.runid), [2, 4]);
});

t.ledgerTest(
  "prune deletes a bounded number of rows at a time and no run that is alive",
  async ({ sql }) => {
    await insertRuns(sql, "completed", "ok", 100 * DAY, 25);
    await sql`
    insert into scheduler_runs (job_name, status, trigger, scheduled_for, created_at)
    select 'old', status, 'manual', ${t.after(-200 * DAY)}, ${t.after(-200 * DAY)}
    from unnest(array['queued', 'dispatched', 'running']) as status`;
    const pruned = [];
    for (let call = 0; call < 4; call++) {
      pruned.push((await t.value(sql, "scheduler.prune($1, 10)", [t.NOON])).pruned);
    }
    assert.deepEqual(pruned, [10, 10, 5, 0]);
    assert.equal((await t.runs(sql, "old")).length, 3);
  },
);

t.ledgerTest("the pulse prunes hourly, and again at once while there is more", async ({ sql }) => {
  await insertRuns(sql, "completed", "ok", 100 * DAY, 5001);
  assert.equal((await t.pulse(sql, t.NOON)).pruned, 5000);
  assert.equal((await t.pulse(sql, t.after(1))).pruned, 1);
  assert.equal((await t.pulse(sql, t.after(60))).pruned, undefined);
  assert.equal((await t.pulse(sql, t.after(61))).pruned, 0);
});

const OWN = [
  "select scheduler.dispatch('job')",
  "select scheduler.pulse()",
  "do $beat$ begin while scheduler.beat() loop commit; end loop; end $beat$",
];

async function insertDetails(admin: Sql, commands: string[], at: Date | null, count = 1) {
  await admin`
    insert into cron.job_run_details (username, database, command, status, start_time, end_time)
    select 'postgres', current_database(), command, 'failed', ${at}, ${at}
    from unnest(${commands}::text[]) as command, generate_series(1, ${count}::int)`;
}

t.ledgerTest(
  "only rows of Daybook's own entries are pruned from pg_cron's log",
  async ({ sql, admin }) => {
    const others = [
      "select 1",
      "delete from orders",
      "select scheduler.dispatch('x'); delete from orders",
      "select scheduler.dispatcher('x')",
    ];
    await insertDetails(admin, [...OWN, ...others], t.after(-30 * DAY));
    await admin`
    insert into cron.job_run_details (username, database, command, status, end_time) values
      ('postgres', 'elsewhere', ${OWN[0]!}, 'failed', ${t.after(-30 * DAY)}),
      ('somebody', current_database(), ${OWN[0]!}, 'failed', ${t.after(-30 * DAY)})`;
    assert.equal((await t.value(sql, "scheduler.prune($1)", [t.NOON])).pruned, 3);
    const left = await admin`select command from cron.job_run_details order by runid`;
    assert.deepEqual(left.map(({ command }) => command), [...others, OWN[0], OWN[0]]);
  },
);

t.ledgerTest(
  "rows of pg_cron's log without a time go with those after them",
  async ({ sql, admin }) => {
    await insertDetails(admin, OWN, null);
    await insertDetails(admin, ["select 1"], t.after(-30 * DAY));
    await insertDetails(admin, OWN, null);
    await insertDetails(admin, ["select 1"], t.after(-1));
    await insertDetails(admin, OWN, null);
    await t.value(sql, "scheduler.prune($1)", [t.NOON]);
    const left =
      await admin`select start_time is null as dateless from cron.job_run_details order by runid`;
    assert.deepEqual(left.map(({ dateless }) => dateless), [
      false,
      true,
      true,
      true,
      false,
      true,
      true,
      true,
    ]);
  },
);

t.ledgerTest("rows that must stay at the front do not stop pruning behind them", async (db) => {
  const { sql, admin } = db;
  await insertDetails(admin, ["select 1"], t.after(-30 * DAY), 60);
  await insertDetails(admin, [OWN[0]!], t.after(-29 * DAY), 7);
  await insertDetails(admin, [OWN[0]!], t.after(-1), 3);
  const more = [];
  for (let step = 0; step < 4; step++) {
    more.push((await t.value(sql, "scheduler.prune($1, 20)", [t.NOON])).more);
  }
  assert.deepEqual(more, [true, true, true, false]);
  const [left] = await admin`select count(*)::int as rows from cron.job_run_details`;
  assert.equal(left!.rows, 63);
});
