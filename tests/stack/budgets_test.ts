import assert from "node:assert/strict";
import { withStack } from "../support/stack.ts";

Deno.test("a function takes of a budget through REST: at once, after a wait, and not when it cannot", (test) =>
  withStack({ cron: false }, async ({ apiUrl, sql, keys }) => {
    await sql`select scheduler.register_budget('tests', 3, '2 seconds')`;
    const call = async (body: unknown) => {
      const response = await fetch(`${apiUrl}/functions/v1/takes`, {
        method: "POST",
        headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true" },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: await response.json() };
    };

    await test.step("what is there is taken at once; what is not, when it is", async () => {
      const answers = [await call({ tokens: 3 }), await call({ tokens: 2 })];
      assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
      const [row] = await sql`
        select taken_total[cardinality(taken_total)]::int as total,
          taken_at[cardinality(taken_at)] - taken_at[1] >= interval '2 seconds' as waited from scheduler_budgets`;
      assert.deepEqual({ ...row }, { total: 5, waited: true });
      assert.equal((await sql`select from scheduler.budget_reservations`).length, 0);
    });

    await test.step("an answer's headers correct it", async () => {
      const { status } = await call({ tokens: 1, headers: { "retry-after": "1000" } });
      assert.equal(status, 200);
      const [row] = await sql`
        select tokens_left from scheduler.budget_states((select max(at) from scheduler_budgets, unnest(taken_at) as at))`;
      assert.equal(row!.tokens_left, 0);
    });

    await test.step("more than it ever holds fails for good", async () => {
      const { status, body } = await call({ tokens: 1000 });
      assert.deepEqual([status, body.error.code], [500, "failed"]);
      assert.match(
        body.error.message,
        /^Cannot reserve 1000 tokens of the budget tests for takes until .*: at most \d+ are possible$/,
      );
    });
  }));
