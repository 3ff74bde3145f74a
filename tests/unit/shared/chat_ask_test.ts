import assert from "node:assert/strict";
import { isHTTPError } from "ky";
import { createChat, describeNoAnswer, mayHaveCost } from "../../../shared/models/chat.ts";
import { createHttpClient } from "../../../shared/http-client.ts";
import { completion, mistralRefusal, refusal } from "../../support/chat-completions.ts";
import { type ReceivedRequest, type Reply, withHttpServer } from "../../support/http-server.ts";

const question = {
  model: "m",
  messages: [{ role: "user", content: "?" }],
  max_completion_tokens: 10,
};
type Ask = (more?: Record<string, unknown>, idempotencyKey?: string) => Promise<string>;

/** Asks a server that answers as the test wants: the answer's text, or in words why there is none. */
async function withServer(
  handler: (request: ReceivedRequest, count: number) => Reply,
  fn: (ask: Ask, requests: ReceivedRequest[]) => Promise<void>,
): Promise<void> {
  let count = 0;
  await withHttpServer((request) => handler(request, count++), async ({ url, requests }) => {
    const { signal } = new AbortController();
    const http = createHttpClient({ signal, backoffMs: () => 1 });
    const chat = createChat(http);
    const ask: Ask = async (more = {}, idempotencyKey) => {
      try {
        return await chat.ask({ url, key: "sk-test-key" }, { ...question, ...more }, {
          maximumBytes: 10_000,
          timeoutMs: 5_000,
          signal,
          ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
        }) ?? "too long";
      } catch (error) {
        const words = describeNoAnswer(error, 5_000);
        return isHTTPError(error) && mayHaveCost(error) ? `${words}, paid for` : words;
      }
    };
    await fn(ask, requests);
  });
}

const bodyOf = (request: ReceivedRequest | undefined) => JSON.parse(request!.body);
const fine = completion("fine");
const knows = (...names: string[]) => (request: ReceivedRequest): Reply => {
  const unknown = Object.keys(bodyOf(request)).find((name) => !names.includes(name));
  return unknown === undefined ? fine : mistralRefusal(unknown);
};

Deno.test("a server that refuses max_completion_tokens with any error is asked with max_tokens", async () => {
  for (
    const refused of [
      mistralRefusal("max_completion_tokens"),
      mistralRefusal("max_completion_tokens", 400),
      refusal(400, "Unrecognized request argument supplied: max_completion_tokens"),
      // OpenRouter and other gateways: the status is in the body.
      {
        status: 200,
        body: '{"error": {"code": 400, "message": "max_completion_tokens is not permitted"}}',
      },
    ]
  ) {
    await withServer((_, count) => count === 0 ? refused : fine, async (ask, requests) => {
      assert.match(await ask(), /fine/);
      const { messages: _, ...body } = bodyOf(requests[1]);
      assert.deepEqual(body, { model: "m", max_tokens: 10 });
    });
  }
});

Deno.test("a parameter that a server refuses is sent once, not with each question", async () => {
  await withServer(knows("model", "messages", "max_tokens"), async (ask, requests) => {
    await Promise.all([ask(), ask()]);
    for (let i = 0; i < 5; i++) assert.match(await ask(), /fine/);
    assert.equal(requests.length, 2 * 2 + 5);
    // Another model of the same server may know it.
    await ask({ model: "n" });
    assert.equal(requests.length, 2 * 2 + 5 + 2);
  });
});

Deno.test("a server that takes no limit is not asked: the cost would have no bound", async () => {
  await withServer(knows("model", "messages"), async (ask, requests) => {
    assert.equal(await ask(), "HTTP 422");
    assert.equal(requests.length, 2);
  });
});

Deno.test("another question under the same idempotency key would be refused: it has another one", async () => {
  await withServer(knows("model", "messages", "max_tokens"), async (ask, requests) => {
    await ask({}, "task-1");
    await ask({}, "task-2");
    assert.deepEqual(requests.map(({ headers }) => headers["idempotency-key"]), [
      "task-1",
      "task-1-without-max_completion_tokens",
      "task-2-without-max_completion_tokens",
    ]);
  });
});

Deno.test("a refusal that names nothing that was asked is not asked again", async () => {
  await withServer(() => refusal(422, "top_p must be positive"), async (ask, requests) => {
    assert.equal(await ask(), "HTTP 422");
    assert.equal(requests.length, 1);
  });
});

/** Bodies with status 200, what they are taken for, and after how many requests of a question that may be repeated. */
const errors: [string, string, number][] = [
  // OpenRouter: https://openrouter.ai/docs/api/reference/errors-and-debugging
  [
    '{"error": {"code": 401, "message": "No auth credentials found"}}',
    "error 401 with HTTP 200",
    1,
  ],
  ['{"error": {"code": 429, "message": "Rate limited"}}', "error 429 with HTTP 200", 4],
  [
    '{"error": {"code": 502, "message": "Provider returned error", "metadata": {}}}',
    "error 502 with HTTP 200, paid for",
    4,
  ],
  ['{"error": {"code": "503", "message": "busy"}}', "error 503 with HTTP 200, paid for", 4],
  [
    '{"choices": [{"error": {"code": 502, "message": "Provider disconnected"}, "finish_reason": "error", "message": {"content": "Ha"}}]}',
    "error 502 with HTTP 200, paid for",
    4,
  ],
  // A code that is no status says that something went wrong, not what.
  ['{"error": {"code": "1302", "message": "busy"}}', "error 500 with HTTP 200, paid for", 4],
  ['{"error": {"message": "no"}}', "error 500 with HTTP 200, paid for", 4],
  ['{"error": "no"}', "error 500 with HTTP 200, paid for", 4],
  ['{"error": {"code": 200}}', "error 500 with HTTP 200, paid for", 4],
];
for (const [body, words, requests] of errors) {
  Deno.test(`an answer with status 200 that is ${body} is an error by its code`, () =>
    withServer(() => ({ status: 200, body }), async (ask, received) => {
      assert.equal(await ask({}, "key"), words);
      assert.equal(received.length, requests);
    }));
}

Deno.test("an answer that says that there was no error is an answer", async () => {
  for (const error of [null, "", false]) {
    const body = JSON.stringify({ error, choices: [{ error, message: { content: "fine" } }] });
    await withServer(() => ({ status: 200, body }), async (ask) => {
      assert.equal(await ask(), body);
    });
  }
  await withServer(() => ({ status: 204 }), async (ask) => assert.equal(await ask(), ""));
});

Deno.test("a question is repeated only under an idempotency key: it may have been answered", async () => {
  await withServer(() => ({ status: 503 }), async (ask, requests) => {
    await ask();
    assert.equal(requests.length, 1);
    await ask({}, "key");
    assert.equal(requests.length, 5);
  });
});
