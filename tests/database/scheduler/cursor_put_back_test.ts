import assert from "node:assert/strict";
import type { Row, Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

const DAY = 1440;

const putBack = (sql: Sql, to: Date) => sql`update scheduler_jobs set next_run_at = ${to}`;

/** Each occurrence is in one row: so many of them, from the first row's to the cursor. */
async function assertRecordedOnce(sql: Sql, from: Date, count: number): Promise<Row[]> {
  const found = await sql`
    select at, count(runs.id)::int as rows
    from scheduler_jobs, generate_series(${from}::timestamptz, next_run_at - interval '1 minute', interval '1 minute') as at
    left join scheduler_runs as runs on attempt = 1 and at between scheduled_for and coalesce(scheduled_until, scheduled_for)
      and (occurrences = 1 or not exists (
        select from scheduler_runs as own where own.scheduled_for = at and own.occurrences = 1))
    group by at having count(runs.id) <> 1 order by at limit 5`;
  assert.deepEqual([...found], []);
  assert.equal(
    await t.value(sql, "(select sum(occurrences)::int from scheduler_runs where attempt = 1)"),
    count,
  );
  return [...await sql`select * from scheduler_runs where occurrences > 1 order by scheduled_for`];
}

t.ledgerTest(
  "a gap that begins at an occurrence with a row of its own counts all others",
  async ({ sql }) => {
    await t.register(sql, "job");
    for (const minute of [0, 1]) await t.dispatch(sql, "job", t.after(minute));
    await putBack(sql, t.NOON);
    await t.pulse(sql, t.after(3 * DAY));
    const [gap] = await assertRecordedOnce(sql, t.NOON, 3 * DAY + 1);
    assert.deepEqual(gap!.scheduled_for, t.after(2));
  },
);

t.ledgerTest(
  "occurrences that a gap's row counts are not recorded again, whether many or few",
  async ({ sql }) => {
    await t.register(sql, "job");
    await t.pulse(sql, t.after(3 * DAY));
    await putBack(sql, t.after(DAY));
    await t.pulse(sql, t.after(3 * DAY + 1));
    await assertRecordedOnce(sql, t.NOON, 3 * DAY + 2);
    await putBack(sql, t.after(3 * DAY - 500));
    await t.pulse(sql, t.after(3 * DAY + 2));
    await assertRecordedOnce(sql, t.NOON, 3 * DAY + 3);
    // To before the gap, and then another outage.
    await putBack(sql, t.after(-10));
    await t.pulse(sql, t.after(6 * DAY));
    assert.equal((await assertRecordedOnce(sql, t.after(-10), 6 * DAY + 11)).length, 2);
  },
);
