import assert from "node:assert/strict";
import { assertQuick, timed } from "../../support/assert-quick.ts";
import { type ReceivedRequest, type Reply, withHttpServer } from "../../support/http-server.ts";
import { jobContext } from "../../support/job-context.ts";
import { completion, refusal } from "../../support/chat-completions.ts";
import {
  askModel,
  type ModelAnswer,
} from "../../../supabase/functions/autonomous-code-fixer/ask-model.ts";
import type { Messages } from "../../../supabase/functions/autonomous-code-fixer/prompt.ts";

const API_KEY = "sk-the-model-key-of-the-tests-0123456789";
const messages: Messages = [
  { role: "system", content: "repair" },
  { role: "user", content: "{}" },
];

/** What comes of a question to an endpoint that answers one reply after the other, the last one for ever. */
async function ask(
  replies: Reply[],
  timeoutMs = 5_000,
): Promise<{ answer: ModelAnswer; requests: ReceivedRequest[] }> {
  let answer!: ModelAnswer;
  let requests!: ReceivedRequest[];
  let next = 0;
  await withHttpServer(() => replies[Math.min(next++, replies.length - 1)]!, async (server) => {
    requests = server.requests;
    answer = await askModel(
      { baseUrl: `${server.url}/v1`, apiKey: API_KEY, model: "m", prices: null },
      messages,
      timeoutMs,
      jobContext({ now: new Date() }),
    );
  });
  return { answer, requests };
}

const garbage = (body: string): Reply => ({ status: 200, body });
const usage = { promptTokens: 1200, completionTokens: 300 };

Deno.test("askModel() sends a documented chat completion, and returns text and usage", async () => {
  const { answer, requests } = await ask([completion('{"diff": ""}')]);
  assert.deepEqual(answer, { text: '{"diff": ""}', usage });
  const [request] = requests;
  assert.equal(`${request!.method} ${request!.url}`, "POST /v1/chat/completions");
  assert.equal(request!.headers.authorization, `Bearer ${API_KEY}`);
  assert.equal(request!.headers["content-type"], "application/json");
  const { response_format, ...body } = JSON.parse(request!.body);
  assert.deepEqual(body, { model: "m", messages, temperature: 0.2, max_tokens: 8192 });
  assert.equal(response_format.type, "json_schema");
  assert.deepEqual(response_format.json_schema.schema.required, [
    "diff",
    "reasoning",
    "confidence",
  ]);
});

/** What the endpoint answers; what that is; requests made; tokens used; whether it may have cost something. */
const failures: [string, Reply[], RegExp, number, typeof usage | null, boolean][] = [
  [
    "a refusal",
    [completion(null, { message: { content: null, refusal: "I cannot help." } })],
    /^the model refused: I cannot help/,
    1,
    usage,
    true,
  ],
  [
    "an answer cut off",
    [completion('{"diff": "', { finish_reason: "length" })],
    /^the endpoint's answer was cut at the token limit$/,
    1,
    usage,
    true,
  ],
  [
    "a filtered answer",
    [completion("", { finish_reason: "content_filter" })],
    /held back by the content filter/,
    1,
    usage,
    true,
  ],
  ["an empty answer", [completion("")], /^the endpoint's answer is empty$/, 1, usage, true],
  [
    "no choice",
    [garbage('{"choices": [], "usage": {"prompt_tokens": 1200, "completion_tokens": 300}}')],
    /is no chat completion/,
    1,
    usage,
    true,
  ],
  ["garbage", [garbage("<html>busy</html>")], /is no JSON/, 1, null, true],
  ["JSON that is something else", [garbage('["x"]')], /is no chat completion/, 1, null, true],
  ["an endless answer", [garbage(" ".repeat(3 * 1024 * 1024))], /too long/, 1, null, true],
  [
    "more tokens than a column holds",
    [garbage(
      '{"choices": [], "usage": {"prompt_tokens": 9007199254740991, "completion_tokens": 1}}',
    )],
    /no chat completion/,
    1,
    null,
    true,
  ],
  [
    "400",
    [refusal(400, "the model does not exist", "model_not_found")],
    /^the endpoint answered HTTP 400: the model does not exist$/,
    1,
    null,
    false,
  ],
  [
    "401",
    [refusal(401, `Incorrect API key provided: ${API_KEY}`, "invalid_api_key")],
    /^the endpoint refused the key \(HTTP 401\)$/,
    1,
    null,
    false,
  ],
  [
    "403",
    [refusal(403, "Country not supported")],
    /^the endpoint refused the key \(HTTP 403\)$/,
    1,
    null,
    false,
  ],
  [
    "429",
    [refusal(429, "You exceeded your current quota", "insufficient_quota")],
    /HTTP 429: You exceeded/,
    3,
    null,
    false,
  ],
  ["500", [refusal(500, "The server had an error")], /HTTP 500: The server had/, 3, null, false],
  [
    "an answer that was interrupted",
    [completion('{"diff": ""}', { finish_reason: "insufficient_system_resource" })],
    /^the endpoint's answer ended with insufficient_system_resource$/,
    1,
    usage,
    true,
  ],
  [
    "an error of the model at work, with status 200",
    [garbage('{"error": {"code": 502, "message": "Provider returned error"}}')],
    /^the endpoint answered error 502 with HTTP 200$/,
    1,
    null,
    true,
  ],
  [
    "a rate limit with status 200",
    [garbage('{"error": {"code": 429, "message": "slow down"}}')],
    /^the endpoint answered error 429 with HTTP 200$/,
    3,
    null,
    false,
  ],
  [
    "a redirect",
    [{ status: 307, headers: { location: "/elsewhere" } }, completion("x")],
    /HTTP 307$/,
    1,
    null,
    false,
  ],
  ["504", [{ status: 504, body: "<html>gateway timeout</html>" }], /HTTP 504$/, 1, null, true],
  ["524", [{ status: 524 }], /HTTP 524$/, 1, null, true],
  ["a broken connection", ["reset"], /cannot be reached/, 1, null, true],
];

for (const [name, replies, words, tries, used, mayCost] of failures) {
  Deno.test(`askModel() throws with the reason: ${name}`, async () => {
    const { answer, requests } = await ask(replies);
    assert.ok(answer.error !== undefined);
    assert.match(answer.error, words);
    assert.doesNotMatch(answer.error, new RegExp(API_KEY));
    assert.deepEqual(answer.usage, used);
    assert.equal(requests.length, tries);
    assert.equal(answer.refused, !mayCost);
    assert.equal(answer.unauthorized, /refused the key/.test(answer.error));
  });
}

Deno.test("askModel() removes the key from the endpoint's messages", async () => {
  const { answer } = await ask([refusal(404, `no model for ${API_KEY}`)]);
  assert.equal(answer.error, "the endpoint answered HTTP 404: no model for [redacted]");
});

Deno.test("askModel() gives up on an answer that does not end, within its time", async () => {
  const unfinished: Reply = { status: 200, headers: { "content-length": "100" }, body: "{" };
  const { answer } = await ask([unfinished], 300);
  assert.equal(answer.error, "the endpoint did not answer in time");
});

Deno.test("askModel() gives up on an endpoint that hangs, within its time", async () => {
  await assertQuick("the answer", 3_000, () =>
    timed(async () => {
      const { answer } = await ask(["hang"], 300);
      assert.equal(answer.error, "the endpoint did not answer in time");
    }));
});

Deno.test("askModel() tries again after 429 and 503, and waits as long as Retry-After says", async () => {
  const busy: Reply = { status: 429, headers: { "retry-after": "1" } };
  const begun = performance.now();
  const { answer, requests } = await ask([busy, { status: 503 }, completion("x")]);
  assert.equal(answer.text, "x");
  assert.equal(requests.length, 3);
  assert.ok(performance.now() - begun >= 990);
});

Deno.test("askModel() does not wait when Retry-After outlasts its time: the status is the answer", async () => {
  const busy: Reply = { status: 429, headers: { "retry-after": "20" } };
  await assertQuick("the answer", 1_500, () =>
    timed(async () => {
      const { answer, requests } = await ask([busy], 2_000);
      assert.equal(answer.error, "the endpoint answered HTTP 429");
      assert.equal(requests.length, 1);
    }));
});

Deno.test("askModel() asks again without each parameter that the endpoint does not know, once each", async () => {
  const { answer, requests } = await ask([
    refusal(
      400,
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    ),
    refusal(400, "Unsupported value: 'temperature' does not support 0.2 with this model."),
    refusal(422, "response_format.type `json_schema` is unavailable now"),
    completion("x"),
  ]);
  assert.equal(answer.text, "x");
  const { messages: _, ...last } = JSON.parse(requests.at(-1)!.body);
  assert.deepEqual(last, {
    model: "m",
    max_completion_tokens: 8192,
    response_format: { type: "json_object" },
  });

  const stubborn = await ask([refusal(400, "temperature and max_tokens are wrong")]);
  assert.match(stubborn.answer.error ?? "", /HTTP 400/);
  assert.ok(stubborn.requests.length <= 4, `${stubborn.requests.length} requests`);
});
