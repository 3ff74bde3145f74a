import assert from "node:assert/strict";
import type { Sql } from "postgres";
import * as t from "../../support/scheduler.ts";

/** How often the statement calls each of these functions. */
async function calls(
  admin: Sql,
  statement: string,
  functions: string[],
): Promise<Record<string, number>> {
  return await admin.begin(async (transaction) => {
    const count = async () => {
      const rows = await transaction`
        select name, coalesce(sum(calls), 0)::integer as calls
        from unnest(${functions}::text[]) as name left join pg_stat_xact_user_functions
          on schemaname = 'scheduler' and funcname = name
        group by name`;
      return new Map(rows.map((row) => [row.name as string, row.calls as number]));
    };
    await transaction.unsafe("set local track_functions = 'all'");
    const before = await count();
    await transaction.unsafe(statement, [t.after(10)]);
    const after = await count();
    return Object.fromEntries(
      functions.map((name) => [name, after.get(name)! - before.get(name)!]),
    );
  });
}

t.ledgerTest(
  "health and status ask once for each job, and once for a schedule that jobs have in common",
  async ({ sql, admin }) => {
    for (const name of ["a", "b", "c", "d"]) await t.register(sql, name);
    await t.register(sql, "elsewhere", { time_zone: "Asia/Tokyo" });
    const counted = ["stop_now", "next_occurrence", "all_budgets"];
    const once = { stop_now: 5, next_occurrence: 2, all_budgets: 1 };
    assert.deepEqual(await calls(admin, "select scheduler.api_health($1)", counted), once);
    assert.deepEqual(await calls(admin, "select scheduler.api_status(null, $1)", counted), once);
  },
);

t.ledgerTest("the health of one job asks for no other job", async ({ sql, admin }) => {
  for (const name of ["a", "b", "c", "d"]) await t.register(sql, name);
  assert.deepEqual(
    await calls(admin, "select scheduler.api_health_of('b', $1)", ["stop_now", "next_occurrence"]),
    { stop_now: 1, next_occurrence: 1 },
  );
});

t.ledgerTest(
  "a schedule that cannot be read hides no other job's second occurrence",
  async ({ sql }) => {
    await t.register(sql, "good");
    await t.register(sql, "bad");
    await sql`update scheduler_jobs set schedule = 'never' where name = 'bad'`;
    const { services } = await t.value(sql, "scheduler.api_health($1)", [t.after(10)]);
    assert.deepEqual(
      services.map((service: { job: string; due_without_success: number }) => [
        service.job,
        service.due_without_success,
      ]),
      [["bad", 1], ["good", 2]],
    );
  },
);
