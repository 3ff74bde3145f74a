import assert from "node:assert/strict";
import { HTTPError } from "ky";
import { createHttpClient } from "../../shared/http-client.ts";

/** A server that answers in turn as told, and counts. */
async function withServer(
  answers: ((request: Request) => Response | Promise<Response>)[],
  test: (url: string, calls: () => number) => Promise<void>,
) {
  let calls = 0;
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      await request.text();
      return answers[Math.min(calls++, answers.length - 1)]!(request);
    },
  );
  try {
    await test(`http://127.0.0.1:${server.addr.port}/`, () => calls);
  } finally {
    await server.shutdown();
  }
}

const ok = () => Response.json({ ok: true });
const status = (code: number, headers: Record<string, string> = {}) => () =>
  new Response("{}", { status: code, headers });
const client = (options: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
  createHttpClient({
    signal: options.signal ?? new AbortController().signal,
    backoffMs: () => 1,
    ...options,
  });

for (const code of [429, 500, 502, 503, 504]) {
  Deno.test(`the HTTP client tries again after ${code}`, async () => {
    await withServer([status(code), status(code), ok], async (url, calls) => {
      assert.deepEqual(await client().post(url, { json: { a: 1 } }).json(), { ok: true });
      assert.equal(calls(), 3);
    });
  });
}

for (const code of [400, 401, 403, 404, 409, 422]) {
  Deno.test(`the HTTP client never tries again after ${code}`, async () => {
    await withServer([status(code)], async (url, calls) => {
      await assert.rejects(
        client().get(url),
        (error: unknown) => error instanceof HTTPError && error.response.status === code,
      );
      assert.equal(calls(), 1);
    });
  });
}

Deno.test("the HTTP client gives up after three retries", async () => {
  await withServer([status(503)], async (url, calls) => {
    await assert.rejects(client().get(url), HTTPError);
    assert.equal(calls(), 4);
  });
});

Deno.test("the HTTP client waits as long as Retry-After says", async () => {
  await withServer([status(429, { "retry-after": "1" }), ok], async (url) => {
    const startedAt = performance.now();
    await client().get(url).json();
    assert.ok(performance.now() - startedAt >= 950, "it did not wait the second");
  });
});

Deno.test("the HTTP client tries again when an answer does not come in time", async () => {
  const hang = Promise.withResolvers<Response>();
  await withServer([() => hang.promise, ok], async (url, calls) => {
    assert.deepEqual(await client({ timeoutMs: 300 }).get(url).json(), { ok: true });
    assert.equal(calls(), 2);
    hang.resolve(ok());
  });
});

Deno.test("the HTTP client tries again when the connection is refused, then throws", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(client().get(`http://127.0.0.1:${port}/`));
});

Deno.test("the HTTP client stops when the run's signal fires", async () => {
  const stop = new AbortController();
  const hang = Promise.withResolvers<Response>();
  const asked = Promise.withResolvers<void>();
  await withServer([() => (asked.resolve(), hang.promise)], async (url, calls) => {
    const request = client({ signal: stop.signal }).get(url);
    await asked.promise;
    stop.abort(new Error("deadline"));
    await assert.rejects(request);
    assert.equal(calls(), 1);
    hang.resolve(ok());
  });
});
