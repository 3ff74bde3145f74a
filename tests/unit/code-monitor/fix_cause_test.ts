import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../../shared/database.types.ts";
import type { JsonObject } from "../../../shared/job/define-job.ts";
import { fixCause } from "../../../supabase/functions/autonomous-code-fixer/fix-cause.ts";
import { type Reply, withHttpServer } from "../../support/http-server.ts";
import { jobContext } from "../../support/job-context.ts";
import { completion } from "../../support/chat-completions.ts";

const json = (value: unknown): Reply => ({
  status: 200,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(value),
});
const execution = {
  id: "00000000-0000-4000-8000-00000000000e",
  purpose: "",
  code: "print(row)",
  traceback: "NameError: name 'row' is not defined",
  stderr: null,
};
const subject = {
  cause: { id: 7, status: "open", error_type: "NameError", occurrences: 2 },
  execution,
  earlier: [],
};
const proposal = {
  diff: "--- a/main.py\n+++ b/main.py\n@@ -1 +1 @@\n-print(row)\n+print(rows)\n",
  reasoning: "it is rows",
  confidence: 0.9,
};
const configured = { CODE_FIXER_API_KEY: "the-key", CODE_FIXER_MODEL: "m" };

/** A call of the fixer, with what the database and the model answer; what they were asked, in order. */
async function fix(
  answers: {
    read?: unknown;
    begin?: unknown;
    beginReply?: Reply;
    record?: unknown;
    model?: Reply;
  } = {},
  { env = configured as Record<string, string>, remainingMs = (): number => 60_000 } = {},
): Promise<{ result: JsonObject; asked: string[]; bodies: Record<string, JsonObject> }> {
  const asked: string[] = [];
  const bodies: Record<string, JsonObject> = {};
  let result!: JsonObject;
  const replies: Record<string, Reply> = {
    read_code_failure: json("read" in answers ? answers.read : subject),
    begin_code_fix: answers.beginReply ?? json(answers.begin ?? { begun: true, proposal_id: 4 }),
    record_code_fix: json(answers.record ?? { recorded: true, status: "pending" }),
    completions: answers.model ?? completion(proposal),
  };
  await withHttpServer(({ url, body }) => {
    const name = url.split("/").at(-1)!;
    asked.push(name);
    bodies[name] = JSON.parse(body);
    return replies[name]!;
  }, async (server) => {
    const db = createClient<Database>(server.url, "key", { auth: { persistSession: false } });
    const context = jobContext({
      db,
      remainingMs,
      env: { ...env, CODE_FIXER_BASE_URL: `${server.url}/v1` },
    });
    result = await fixCause({ causeId: 7 }, context);
  });
  return { result, asked, bodies };
}

Deno.test("fixCause() reads, reserves, asks, records", async () => {
  const { result, asked, bodies } = await fix();
  assert.deepEqual(asked, [
    "read_code_failure",
    "begin_code_fix",
    "completions",
    "record_code_fix",
  ]);
  assert.equal(
    result.summary,
    "NameError (cause 7): a fix is proposed, confidence 0.90; proposal 4 waits for a person",
  );
  assert.equal(result.notable, "info");
  assert.deepEqual(result.notConfigured, [
    "CODE_FIXER_PROMPT_PRICE",
    "CODE_FIXER_COMPLETION_PRICE",
  ]);
  // At least a token for each byte of the question, and the longest answer.
  const { messages, max_tokens } = bodies.completions as unknown as {
    messages: unknown;
    max_tokens: number;
  };
  const bytes = new TextEncoder().encode(JSON.stringify(messages)).length;
  assert.equal(bodies.begin_code_fix?.p_reserved_tokens, bytes + max_tokens);
  assert.match(String(bodies.record_code_fix?.p_diff), /^\+print\(rows\)$/m);
});

Deno.test("fixCause() calls neither the model nor the database when no model is configured", async () => {
  const { result, asked } = await fix({}, { env: { CODE_FIXER_API_KEY: "the-key" } });
  assert.deepEqual(asked, []);
  assert.equal(result.outcome, "not_configured");
  assert.deepEqual((result.notConfigured as string[])[0], "CODE_FIXER_MODEL");
  assert.equal(result.summary, "cause 7: no model is configured");
});

Deno.test("fixCause() does not ask the model when a variable or a setting is wrong, and names it", async () => {
  const env = { ...configured, CODE_FIXER_PROMPT_PRICE: "cheap" };
  const { result, asked } = await fix({}, { env });
  assert.deepEqual([asked, result.outcome, result.notable], [[], "misconfigured", "error"]);
  assert.match(String(result.summary), /CODE_FIXER_PROMPT_PRICE must be US dollars/);

  const message = "cannot use the setting code_fixer.daily_tokens: it must be a whole number";
  const refusal = { status: 400, body: JSON.stringify({ code: "22023", message }) };
  const wrong = await fix({ beginReply: refusal });
  assert.deepEqual([wrong.result.outcome, wrong.result.summary], ["misconfigured", message]);
  assert.ok(!wrong.asked.includes("completions"));
});

Deno.test("fixCause() fails for good when there is no such cause", async () => {
  await assert.rejects(fix({ read: null }), {
    name: "PermanentError",
    message: "Cannot fix cause 7: there is no such cause",
  });
});

const unasked: [string, Parameters<typeof fix>, string, string][] = [
  [
    "its executions are gone",
    [{ read: { ...subject, execution: null } }],
    "refused",
    "no_execution",
  ],
  ["no time is left", [{}, { remainingMs: () => 5_500 }], "refused", "no_time"],
  [
    "it is asked for already",
    [{ begin: { begun: false, reason: "asked_already" } }],
    "refused",
    "asked_already",
  ],
  [
    "the day's cap is reached",
    [{
      begin: {
        begun: false,
        reason: "daily_cap",
        setting: "code_fixer.daily_tokens",
        used: 9,
        needed: 2,
        cap: 10,
      },
    }],
    "daily_cap",
    "daily_cap",
  ],
];
for (const [name, args, outcome, reason] of unasked) {
  Deno.test(`fixCause() does not ask the model when ${name}, and says so`, async () => {
    const { result, asked } = await fix(...args);
    assert.ok(!asked.includes("completions"));
    assert.deepEqual([result.outcome, result.reason], [outcome, reason]);
    assert.match(String(result.summary), /^NameError \(cause 7\): not asked, /);
    assert.equal(result.notable, undefined);
  });
}

Deno.test("fixCause() records a model that hangs, within the run's time, as a question that may have cost", async () => {
  const { result, bodies } = await fix({ model: "hang" }, { remainingMs: () => 6_000 });
  assert.equal(result.summary, "NameError (cause 7): no fix, the endpoint did not answer in time");
  const { p_error, p_usage_unknown, p_counts, p_diff } = bodies.record_code_fix!;
  assert.deepEqual([p_error, p_usage_unknown, p_counts, p_diff], [
    "the endpoint did not answer in time",
    true,
    true,
    null,
  ]);
});

Deno.test("fixCause() does not count a question whose key was refused", async () => {
  const { result, bodies } = await fix({ model: { status: 403 } });
  assert.deepEqual([result.outcome, result.notable], ["unauthorized", "error"]);
  assert.equal(bodies.record_code_fix?.p_counts, false);
});

Deno.test("fixCause() removes characters that Postgres cannot store", async () => {
  const odd = { ...proposal, reasoning: "a\u0000b\ud800" };
  const { bodies } = await fix({ model: completion(odd) });
  assert.equal(bodies.record_code_fix?.p_reasoning, "a\ufffdb\ufffd");
});

Deno.test("fixCause() finds code without a newline at its end, and with carriage returns, as the model sees it", async () => {
  const code = "import x\r\nprint(row)";
  const diff =
    "--- a/main.py\n+++ b/main.py\n@@ -1,2 +1,2 @@\n import x\n-print(row)\n+print(rows)\n";
  const { result } = await fix({
    read: { ...subject, execution: { ...execution, code } },
    model: completion({ ...proposal, diff }),
  });
  assert.equal(result.outcome, "proposed");
});
