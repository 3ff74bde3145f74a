import assert from "node:assert/strict";
import { type Database, job } from "../../../supabase/functions/my-job/job.ts";
import type { JobContext } from "../../../shared/job/define-job.ts";

/** Runs the job with a database that gives this answer; what the job returned, and what it called. */
async function run(answer: { data: number | null; error: Error | null }) {
  const calls: unknown[] = [];
  const db = {
    rpc(...call: unknown[]) {
      calls.push(call);
      return { abortSignal: () => Promise.resolve(answer) };
    },
  };
  const log = { info() {}, warn() {}, error() {} };
  const context = { db, log, signal: new AbortController().signal };
  const result = await job.run({ limit: 5 }, context as unknown as JobContext<Database>);
  return { result, calls };
}

Deno.test("my-job calls its function with the limit of its input, and says how many items it did", async () => {
  const { result, calls } = await run({ data: 3, error: null });
  assert.deepEqual(calls, [["my_job", { p_limit: 5 }]]);
  assert.deepEqual(result, { summary: "3 items done", items: 3 });
});

Deno.test("my-job fails where the database does", async () => {
  await assert.rejects(run({ data: null, error: new Error("no room") }), /no room/);
});

Deno.test("my-job refuses an input that it does not know", () => {
  assert.deepEqual(job.input.parse({}), { limit: 1000 });
  for (const input of [{ limit: 0 }, { limits: 5 }]) {
    assert.equal(job.input.safeParse(input).success, false, JSON.stringify(input));
  }
});
