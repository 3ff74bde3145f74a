import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../../shared/database.types.ts";
import {
  collect,
  type Collected,
} from "../../../supabase/functions/code-monitor-daemon/collect.ts";
import { withHttpServer } from "../../support/http-server.ts";
import { jobContext } from "../../support/job-context.ts";

/** Collects against a database that answers these steps; `remainingMs` before each. */
async function run(steps: unknown[], remainingMs: number[]): Promise<Collected> {
  let [next, asked] = [0, 0];
  let collected!: Collected;
  await withHttpServer(({ url }) => {
    assert.equal(url, "/rest/v1/rpc/collect_code_failures");
    const headers = { "content-type": "application/json" };
    return { status: 200, headers, body: JSON.stringify(steps[next++]) };
  }, async (server) => {
    const db = createClient<Database>(server.url, "key", { auth: { persistSession: false } });
    collected = await collect(jobContext({ db, remainingMs: () => remainingMs[asked++]! }));
  });
  assert.equal(next, steps.length);
  return collected;
}

const first = { failures: 500, causes: [1, 2], new_causes: [1], reopened_causes: [2], more: true };
const second = { failures: 7, causes: [2, 3], new_causes: [3], reopened_causes: [], more: false };

Deno.test("collect() goes on while there is more, and counts each cause once", async () => {
  assert.deepEqual(await run([first, second], [110_000, 100_000]), {
    failures: 507,
    causes: new Set([1, 2, 3]),
    newCauses: new Set([1, 3]),
    reopenedCauses: new Set([2]),
    more: false,
  });
});

Deno.test("collect() leaves a minute for the fixes, and the rest to the next run", async () => {
  const { failures, more } = await run([first], [110_000, 59_000]);
  assert.deepEqual([failures, more], [500, true]);
});
