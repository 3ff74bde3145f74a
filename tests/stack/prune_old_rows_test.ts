// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { oldRows, oldRowsDevice } from "../support/old-rows.ts";
import { type Stack, withStack } from "../support/stack.ts";

/** Calls the job as a person does. */
async function pruneByHand({ apiUrl, keys }: Stack, input: unknown = {}) {
  const response = await fetch(`${apiUrl}/functions/v1/prune-old-rows`, {
    method: "POST",
    headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true" },
    body: JSON.stringify(input),
  });
  return { status: response.status, body: await response.json() };
}

Deno.test("prune-old-rows through the whole stack", (test) =>
  withStack({ cron: false }, async (stack) => {
    const { sql } = stack;

    await test.step("deletes old rows by each rule, batch after batch", async () => {
      await sql.unsafe(oldRowsDevice);
      for (const { over } of Object.values(oldRows)) {
        for (let i = 0; i < 5; i++) {
          await sql.unsafe(over, [new Date(Date.now() - (1000 + i) * 86_400_000)]);
        }
      }
      // The figures of the old device rows are final.
      await sql`delete from devices.metrics_changes`;
      await sql`update devices.metrics_state set frozen_before = now() - interval '30 days'`;
      const { status, body } = await pruneByHand(stack, { batchRows: 2 });
      assert.equal(status, 200, JSON.stringify(body));
      const expected = Object.fromEntries(Object.keys(oldRows).map((rule) => [rule, 5]));
      assert.deepEqual(body.result, {
        summary: `${5 * Object.keys(oldRows).length} old rows deleted`,
        deleted: expected,
        unfinished: [],
        held: [],
      });
    });

    await test.step("prunes by all other rules where one cannot be applied, then fails and names it", async () => {
      await sql`update scheduler.retention_rules set old_rows = 'gone < $1' where rule = 'tasks'`;
      for (const rule of ["tasks", "conversations"]) {
        await sql.unsafe(oldRows[rule]!.over, [new Date(Date.now() - 1000 * 86_400_000)]);
      }
      const { status, body } = await pruneByHand(stack);
      assert.equal(status, 500);
      assert.match(
        body.error.message,
        /^Cannot prune by tasks: .*column "gone" does not exist.* \(1 old rows deleted\)$/,
      );
      const [left] = await sql`
        select (select count(*) from tasks)::int as tasks, (select count(*) from conversations)::int as conversations`;
      assert.deepEqual({ ...left }, { tasks: 1, conversations: 0 });
    });
  }));
