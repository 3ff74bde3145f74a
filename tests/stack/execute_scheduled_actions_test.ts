// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import {
  assertAllRunsOver,
  beat,
  beatUntilIdle,
  fire,
  passTime,
  readLog,
} from "../support/faults.ts";
import { run } from "../support/scheduler.ts";
import { schedule } from "../support/scheduled-actions.ts";
import { type Stack, withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const JOB = "execute-scheduled-actions";

/** What arrived at the function inbox: each `n` with the keys it came with, in order. */
async function arrivals(stack: Stack): Promise<Map<number, string[]>> {
  const found = new Map<number, string[]>();
  for (const [, n, key] of (await readLog(stack)).matchAll(/^.*\binbox (\d+) (\S+)$/gm)) {
    found.set(Number(n), [...found.get(Number(n)) ?? [], key!]);
  }
  return found;
}

/** A run by hand of the whole path; its row when it is over. */
async function runOnce({ sql }: Stack, limitMs = 60_000) {
  const id = await fire(sql, JOB);
  await beatUntilIdle(sql, limitMs);
  const row = await run(sql, id);
  assert.equal(row.status, "completed", row.error_message);
  return row;
}

Deno.test("execute-scheduled-actions through the whole stack", (test) =>
  withStack({ cron: false }, async (stack) => {
    const { sql } = stack;
    const soon = () => new Date(Date.now() - 1000);

    await test.step("a run without a due action says so, and names what is not configured", async () => {
      const { result } = await runOnce(stack);
      assert.equal(
        result.summary,
        "no action was executed; CALLBACK_SIGNING_SECRET is not set: callbacks wait",
      );
      assert.deepEqual(result.notConfigured, ["CALLBACK_SIGNING_SECRET"]);
      assert.equal(result.notable, undefined);
    });

    await test.step("callbacks without a signing secret stay due, and no try is used up", async () => {
      const { id } = await schedule(sql, "callback", { due_at: soon() });
      const { result } = await runOnce(stack);
      assert.deepEqual(result.due, { callback: 1 });
      const [row] = await sql`select * from scheduled_actions where id = ${id}`;
      assert.deepEqual([row!.status, row!.attempts, row!.claim_token], ["scheduled", 0, null]);
      await sql`select cancel_scheduled_action(${id}, 'no longer wanted', 'ann')`;
    });

    await test.step("killed in the middle of handing out: each action arrives, every repeat with the same key, each is completed once", async () => {
      const count = 60;
      const keys = new Map<number, string>();
      for (let n = 0; n < count; n++) {
        const action = await schedule(sql, "edge_function", {
          due_at: soon(),
          payload: { n, ms: 150 },
        });
        keys.set(n, action.idempotency_key);
      }
      await fire(sql, JOB);
      await waitUntil("some actions to arrive", async () => (await arrivals(stack)).size >= 15);
      await stack.functions.kill();
      const [before] = await sql`
        select count(*) filter (where status = 'scheduled')::int as open,
          count(*) filter (where locked_until > now())::int as claimed from scheduled_actions
        where kind = 'edge_function'`;
      assert.ok(before!.open > 0 && before!.claimed > 0, "nothing was under way");
      const seen = (await arrivals(stack)).size;
      assert.ok(seen < count, "everything had arrived already");

      await stack.functions.start();
      // The claims of the dead run hold for a while; then anybody may claim again.
      await sql`update scheduled_actions set locked_until = now() where locked_until is not null`;
      await passTime(sql, 61);
      await beat(sql);
      await beatUntilIdle(sql, 60_000);
      await assertAllRunsOver(sql);

      const found = await arrivals(stack);
      assert.equal(found.size, count);
      for (const [n, with_] of found) {
        assert.deepEqual([...new Set(with_)], [keys.get(n)], `action ${n}`);
      }
      assert.ok([...found.values()].some((with_) => with_.length > 1), "nothing was repeated");
      const over = await sql`
        select status, attempts, count(*)::int as count from scheduled_action_occurrences
        where status <> 'cancelled' group by 1, 2`;
      assert.deepEqual([...over], [{ status: "completed", attempts: 1, count }]);
    });

    await test.step("10,000 due actions of every kind that is configured need one run", async () => {
      await sql`
        insert into devices (device_fingerprint) select 'device ' || n from generate_series(1, 10) as n`;
      await sql`
        insert into scheduled_actions (kind, message, device_id, command_type, function_name, payload, due_at, next_attempt_at)
        select kind, case kind when 'reminder' then 'reminder ' || n end,
          case kind when 'engagement_command' then (select id from devices where device_fingerprint = 'device ' || 1 + n % 10) end,
          case kind when 'engagement_command' then 'notify' end, case kind when 'edge_function' then 'inbox' end,
          jsonb_build_object('n', n), now(), now()
        from generate_series(10001, 20000) as n, lateral (
          select case n % 10 when 0 then 'edge_function' when 1 then 'edge_function'
            when 2 then 'engagement_command' when 3 then 'engagement_command' when 4 then 'engagement_command'
            else 'reminder' end as kind) as k`;
      const row = await runOnce(stack, 140_000);
      assert.equal(
        row.result.summary.split(";")[0],
        "10,000 executed (5,000 reminders, 3,000 commands, 2,000 edge functions)",
      );
      assert.deepEqual([row.result.due, row.result.stopped, row.result.notable], [
        {},
        "done",
        "info",
      ]);
      const counts = await sql`
        select (select count(*)::int from engagement_commands) as commands,
          (select count(*)::int from scheduler_activity where source = 'reminder') as reminders,
          (select count(*)::int from scheduled_actions where status = 'completed') as completed`;
      assert.deepEqual([...counts], [{ commands: 3000, reminders: 5000, completed: 10_060 }]);
      const found = await arrivals(stack);
      assert.equal([...found.keys()].filter((n) => n > 10_000).length, 2000);
    });

    await test.step("a payload that JavaScript cannot read arrives as it is, and holds up no other", async () => {
      const deep = "[".repeat(3000) + "]".repeat(3000);
      const payloads = [`{"big":12345678901234567890}`, `{"large":1e400}`, `{"deep":${deep}}`];
      for (const payload of payloads) {
        await sql`
          select schedule_action('edge_function', ${soon()}, p_function_name => 'inbox',
            p_payload => ${payload}::text::jsonb || '{"show": true}')`;
      }
      await schedule(sql, "edge_function", { due_at: soon(), payload: { n: 90_000 } });
      const { result } = await runOnce(stack);
      assert.equal(result.completed, 4);
      assert.ok((await arrivals(stack)).has(90_000));
      const log = await readLog(stack);
      for (const sent of ["12345678901234567890", `1${"0".repeat(400)}`, deep]) {
        assert.ok(log.includes(sent), `${sent.slice(0, 30)} did not arrive`);
      }
    });
  }));
