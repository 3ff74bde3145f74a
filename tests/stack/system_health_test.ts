// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { timeoutsFire } from "../support/moments.ts";
import type { CheckResult } from "../../supabase/functions/system-health/check.ts";
import { withStack } from "../support/stack.ts";
import type { Stack } from "../support/stack.ts";
import { assertOnlyUnreadable } from "../support/system-health.ts";

/** Asks for a check as a person does, and waits for the result. */
async function checkByHand(stack: Stack): Promise<CheckResult> {
  const response = await fetch(`${stack.apiUrl}/functions/v1/system-health`, {
    method: "POST",
    headers: { "x-cron-secret": stack.keys.cronSecret, "x-manual-call": "true" },
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text).result;
}

Deno.test("system-health through the whole stack", async (test) => {
  await withStack({ cron: false, seed: true }, async (stack) => {
    const { sql } = stack;

    await test.step("reads every component through REST, and keeps what it found", async () => {
      const health = await checkByHand(stack);
      for (const [name, { unreadable }] of Object.entries(health.components)) {
        assert.equal(unreadable, null, `${name}: ${unreadable}`);
      }
      assert.equal(Object.keys(health.components).length, 14);
      assert.equal(health.components.api_keys?.status, "degraded");
      assert.deepEqual(health.notes, []);
      const [row] =
        await sql`select * from scheduler_health_history where id = ${health.historyId}`;
      assert.equal(row?.score, health.score);
      assert.equal(row?.report, health.report);
    });

    await test.step("fired by the scheduler, it leaves its report in the ledger and one row of history", async () => {
      const [run] = await sql`select scheduler.run_now('system-health', 'ann') as id`;
      const ended = await untilEnded(stack, run?.id);
      assert.equal(ended.status, "completed", JSON.stringify(ended));
      assert.equal(ended.verdict, "ok");
      const rows =
        await sql`select * from scheduler_health_history where scheduled_for = ${ended.scheduled_for}`;
      assert.equal(rows.length, 1);
      assert.equal(rows[0]?.job_name, "system-health");
      assert.equal(ended.result.score, rows[0]?.score);
      assert.equal(ended.result.report, rows[0]?.report);
      assert.equal(ended.result.summary, rows[0]?.summary);
    });

    await test.step({
      name: "is not held up by a locked table",
      ignore: !timeoutsFire,
      fn: async () => {
        await sql.begin(async (transaction) => {
          await transaction`lock table tasks in access exclusive mode`;
          assertOnlyUnreadable(await checkByHand(stack), "tasks", /^a table it reads is locked: /);
        });
      },
    });

    await test.step({
      name: "has a component stopped after 3 seconds that takes too long",
      ignore: !timeoutsFire,
      fn: async () => {
        const [original] =
          await sql`select pg_get_functiondef('agents.python_health()'::regprocedure) as body`;
        await sql.unsafe(`create or replace function agents.python_health() returns jsonb
          language sql stable set search_path = ''
          as $$ select '{}'::jsonb from (select pg_sleep(60)) as slow $$`);
        const health = await checkByHand(stack);
        assertOnlyUnreadable(
          health,
          "python",
          /^took too long and was stopped: .*statement timeout/,
        );
        await sql.unsafe(original?.body);
      },
    });

    await test.step("tells a missing table and a missing function", async () => {
      await sql`alter table conversations rename to conversations_gone`;
      assertOnlyUnreadable(
        await checkByHand(stack),
        "conversations",
        /^a table is missing: .*conversations/,
      );
      await sql`alter table conversations_gone rename to conversations`;
      await sql`alter function agents.agents_health() rename to gone`;
      assertOnlyUnreadable(
        await checkByHand(stack),
        "agents",
        /^a function is missing: .*agents\.agents_health\(\)/,
      );
      await sql`alter function agents.gone() rename to agents_health`;
    });

    await test.step("judges by a threshold that was updated since", async () => {
      const size = async () => (await checkByHand(stack)).components.database?.figures.size_bytes;
      assert.equal((await size())?.status, "healthy");
      await sql`
        update scheduler.health_figures set critical = 1 where component = 'database' and figure = 'size_bytes'`;
      assert.equal((await size())?.status, "critical");
    });
  });
});

/** The run once it is over; fails after 30 seconds. */
// deno-lint-ignore no-explicit-any
async function untilEnded(stack: Stack, id: string): Promise<any> {
  const limit = AbortSignal.timeout(30_000);
  while (!limit.aborted) {
    const [run] = await stack.sql`
      select * from scheduler_runs where id = ${id} and completed_at is not null and answered_at is not null`;
    if (run !== undefined) return run;
    await stack.sql`select scheduler.pulse()`;
    await stack.sql`select pg_sleep(0.1)`;
  }
  const [run] = await stack.sql`select * from scheduler_runs where id = ${id}`;
  assert.fail(`the run is not over: ${JSON.stringify(run)}`);
}
