import assert from "node:assert/strict";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { job } from "../../../supabase/functions/execute-scheduled-actions/job.ts";
import { jobContext } from "../../support/job-context.ts";

/** A run with nothing due; its result, and the kinds that it asked for. */
async function runWith(env: Record<string, string>) {
  const kinds: unknown[] = [];
  const answers: Record<string, unknown> = {
    execute_scheduled_actions_in_database: { executed: 0, counts: {}, dead: [] },
    execute_scheduled_actions_claim: { token: crypto.randomUUID(), more: false, actions: [] },
    execute_scheduled_actions_due: { callback: 2 },
  };
  const db = {
    rpc(name: string, args?: { p_kinds?: string[] }) {
      if (args?.p_kinds) kinds.push(args.p_kinds);
      return Promise.resolve({ data: answers[name], error: null });
    },
  } as unknown as JobContext["db"];
  return { result: await job.run({}, jobContext({ db, env })), kinds };
}

Deno.test("with a signing secret callbacks are called", async () => {
  const secret = "whsec_" + btoa("k".repeat(32));
  const { result, kinds } = await runWith({ CALLBACK_SIGNING_SECRET: secret });
  assert.deepEqual(kinds, [["edge_function", "callback"]]);
  assert.deepEqual(result.notConfigured, []);
  assert.equal(result.summary, "no action was executed; 2 still due");
});

Deno.test("without a valid signing secret callbacks wait, and the result says why without the secret", async () => {
  for (
    const [env, wrong] of [
      [{}, "is not set"],
      [{ CALLBACK_SIGNING_SECRET: "hunter2" }, "must be whsec_ and the Base64 of 24 to 64 bytes"],
    ] as const
  ) {
    const { result, kinds } = await runWith({ ...env });
    assert.deepEqual(kinds, [["edge_function"]]);
    assert.deepEqual(result.notConfigured, ["CALLBACK_SIGNING_SECRET"]);
    assert.equal(
      result.summary,
      `no action was executed; 2 still due; CALLBACK_SIGNING_SECRET ${wrong}: callbacks wait`,
    );
    assert.ok(!JSON.stringify(result).includes("hunter2"));
  }
});

Deno.test("the signing secret is removed from all stored texts", () => {
  assert.deepEqual(job.secrets, ["CALLBACK_SIGNING_SECRET"]);
});
