// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { beatUntilIdle, fire } from "../support/faults.ts";
import { run } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { addOrganization, addSuggester, suggested } from "../support/suggestions.ts";

Deno.test("weekly-suggestions through the whole stack", (test) =>
  withStack({ cron: false }, async ({ sql, apiUrl, keys, models }) => {
    await addSuggester(sql);
    const id = await addOrganization(sql, ["Which of our shops did best yesterday?"], {
      time_zone: "Asia/Kolkata",
    });

    await test.step("its schedule has the model suggest prompts, which wait for a person", async () => {
      const runId = await fire(sql, "weekly-suggestions");
      await beatUntilIdle(sql);
      const row = await run(sql, runId);
      assert.equal(row.status, "completed");
      assert.equal(
        row.result.summary,
        "3 prompts suggested to 1 organizations, 1 dropped as similar",
      );
      assert.equal((await suggested(sql, id)).length, 3);
      assert.equal(models.calls.length, 1);
    });

    await test.step("without a due organization a tick costs no row and no request", async () => {
      await sql`update scheduler_jobs set next_run_at = clock_timestamp() where name = 'weekly-suggestions'`;
      const [row] = await sql`select scheduler.dispatch('weekly-suggestions') as run`;
      assert.equal(row!.run, null);
      assert.equal(models.calls.length, 1);
    });

    await test.step("a person accepts a suggestion through REST", async () => {
      const [prompt] = await sql`select id from prompts where status = 'suggested' limit 1`;
      const response = await fetch(`${apiUrl}/rest/v1/rpc/accept_prompt_suggestion`, {
        method: "POST",
        headers: { apikey: keys.secretKey, "content-type": "application/json" },
        body: JSON.stringify({ p_id: prompt!.id, p_author: "Ada" }),
      });
      assert.equal((await response.json()).status, "active");
    });

    await test.step("bad input is refused with the field's name", async () => {
      const response = await fetch(`${apiUrl}/functions/v1/weekly-suggestions`, {
        method: "POST",
        headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true" },
        body: JSON.stringify({ maxOrganizations: "all" }),
      });
      assert.equal(response.status, 400);
      assert.match((await response.json()).error.message, /maxOrganizations/);
    });
  }));
