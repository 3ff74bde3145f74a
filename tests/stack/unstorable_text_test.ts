// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { assertAllRunsOver, beatUntilIdle, fire, registerJob } from "../support/faults.ts";
import { runs, summary } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

/** What JSON can carry and Postgres cannot hold: NUL and halves of characters. */
const words: [text: string, shown: string][] = [
  ["a\u0000b", "a\ufffdb"],
  ["a\ud800b", "a\ufffdb"],
  ["\\u0000", "\\u0000"],
  ["\udc00\u0000", "\ufffd\ufffd"],
];

Deno.test("text that Postgres cannot hold", (test) =>
  withStack({ cron: false }, async ({ apiUrl, sql, keys }) => {
    await test.step("in a body is a 400, and no run is begun", async () => {
      const deep = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
      for (
        const body of [
          '{"a": "\\u0000"}',
          '{"a": "\\ud800"}',
          '{"\\u0000": 1}',
          deep(100),
          deep(3000),
          deep(100_000),
        ]
      ) {
        const response = await fetch(`${apiUrl}/functions/v1/echoes`, {
          method: "POST",
          headers: { "x-cron-secret": keys.cronSecret, "x-manual-call": "true" },
          body,
        });
        const text = await response.text();
        assert.equal(response.status, 400, `${body.slice(0, 40)}: ${text}`);
        assert.equal(JSON.parse(text).error.code, "invalid_input");
      }
      const [row] = await sql`select count(*)::int as count from scheduler_runs`;
      assert.equal(row!.count, 0);
    });

    await test.step("in a result, an error or the progress does not cost the receipt", async () => {
      for (const use of ["result", "error", "progress"]) {
        for (const [index, [text]] of words.entries()) {
          const job = `${use}-${index}`;
          await registerJob(sql, job, {
            target: "echoes",
            max_attempts: 1,
            payload: { use, words: JSON.stringify(text) },
          });
          await fire(sql, job);
        }
      }
      await beatUntilIdle(sql);
      for (const [index, [, shown]] of words.entries()) {
        const [result] = await runs(sql, `result-${index}`);
        assert.deepEqual(result?.result, { summary: "done", text: shown });
        const [error] = await runs(sql, `error-${index}`);
        assert.deepEqual([error?.verdict, error?.error_message], ["job_error", shown]);
        assert.deepEqual(await summary(sql, `progress-${index}`), ["completed cron 1 ok"]);
      }
      await assertAllRunsOver(sql);
    });
  }));
