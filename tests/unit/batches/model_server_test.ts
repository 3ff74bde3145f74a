import assert from "node:assert/strict";
import type { ModelServer } from "../../../local/model-server.ts";
import { withModelServer } from "../../support/model-server.ts";

function ask(server: ModelServer, prompt: string, key = server.key): Promise<Response> {
  return fetch(`${server.url}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "m", messages: [{ role: "user", content: prompt }] }),
  });
}

const answer = async (response: Response) =>
  (await response.json()).choices?.[0].message.content as string | undefined;

Deno.test("the model server answers as the chat completions API does, the same for the same seed", async () => {
  const said: (string | undefined)[] = [];
  for (const seed of [1, 1, 2]) {
    await withModelServer({ seed }, async (server) => {
      const response = await ask(server, "Why?");
      assert.equal(response.status, 200);
      const body = await response.clone().json();
      assert.deepEqual([body.object, body.model, body.choices[0].finish_reason], [
        "chat.completion",
        "m",
        "stop",
      ]);
      assert.equal(
        body.usage.total_tokens,
        body.usage.prompt_tokens + body.usage.completion_tokens,
      );
      said.push(await answer(response));
    });
  }
  assert.equal(said[0], said[1]);
  assert.notEqual(said[0], said[2]);
});

Deno.test("the model server lets in its own key alone, and only what it knows", () =>
  withModelServer({}, async (server) => {
    const refused = await ask(server, "Why?", "sk-wrong");
    assert.equal(refused.status, 401);
    assert.ok(!(await refused.text()).includes("sk-wrong"));
    const key = { headers: { authorization: `Bearer ${server.key}` } };
    const elsewhere = await fetch(`${server.url}/models`, key);
    assert.deepEqual([elsewhere.status, (await elsewhere.json()).error.type], [
      404,
      "invalid_request_error",
    ]);
    const empty = await fetch(`${server.url}/chat/completions`, {
      ...key,
      method: "POST",
      body: "{}",
    });
    assert.deepEqual([empty.status, (await empty.json()).error.type], [
      400,
      "invalid_request_error",
    ]);
    assert.equal(server.calls.length, 0);
  }));

Deno.test("the model server fails as often as it is told, the same calls for the same seed", async () => {
  const statuses: number[][] = [];
  for (let run = 0; run < 2; run++) {
    await withModelServer(
      { seed: 7, errorRate: 0.2, rateLimitRate: 0.1, retryAfterSeconds: 3 },
      async (server) => {
        for (let i = 0; i < 200; i++) {
          const response = await ask(server, `${i}`);
          await response.body?.cancel();
          if (response.status === 429) assert.equal(response.headers.get("retry-after"), "3");
        }
        statuses.push(server.calls.map((call) => call.status));
      },
    );
  }
  assert.deepEqual(statuses[0], statuses[1]);
  const count = (status: number) => statuses[0]!.filter((each) => each === status).length;
  assert.ok(count(500) > 20 && count(500) < 60, `${count(500)}`);
  assert.ok(count(429) > 8 && count(429) < 35, `${count(429)}`);
});

Deno.test("the model server takes its time, hangs, and is told otherwise, for one model too", () =>
  withModelServer({ latencyMs: 120 }, async (server) => {
    const startedAt = performance.now();
    await (await ask(server, "Why?")).body?.cancel();
    assert.ok(performance.now() - startedAt >= 115);
    server.set({ hangRate: 1 }, "m");
    const hung = await fetch(`${server.url}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${server.key}` },
      body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "?" }] }),
      signal: AbortSignal.timeout(150),
    }).catch((error) => error.name);
    assert.equal(hung, "TimeoutError");
    server.set({ unknownParameters: ["messages"] }, "m");
    const refused = await ask(server, "Why?");
    assert.deepEqual([refused.status, (await refused.json()).detail[0].loc], [422, [
      "body",
      "messages",
    ]]);
    server.set({ finishReason: "error" }, "m");
    assert.equal((await (await ask(server, "Why?")).json()).choices[0].finish_reason, "error");
    server.set({ body: "nonsense" }, "m");
    assert.equal(await (await ask(server, "Why?")).text(), "nonsense");
  }));
