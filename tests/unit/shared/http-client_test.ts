import assert from "node:assert/strict";
import { HTTPError, type Options } from "ky";
import { createHttpClient } from "../../../shared/http-client.ts";
import { assertQuick, timed } from "../../support/assert-quick.ts";

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

for (const code of [429, 500, 501, 502, 503, 504, 520, 529, 599]) {
  Deno.test(`the HTTP client tries again after ${code}`, async () => {
    await withServer([status(code), status(code), ok], async (url, calls) => {
      assert.deepEqual(await client().put(url, { json: { a: 1 } }).json(), { ok: true });
      assert.equal(calls(), 3);
    });
  });
}

for (const method of ["post", "patch"] as const) {
  Deno.test(`the HTTP client repeats a ${method} only with an idempotency key, or where it is told so`, async () => {
    const tries = async (options: Options) => {
      let count = 0;
      await withServer([status(503), ok], async (url, calls) => {
        await client()[method](url, { json: { a: 1 }, ...options }).catch(() => {});
        count = calls();
      });
      return count;
    };
    assert.equal(await tries({}), 1);
    assert.equal(await tries({ headers: { "Idempotency-Key": "k" } }), 2);
    assert.equal(await tries({ headers: new Headers({ "idempotency-key": "k" }) }), 2);
    assert.equal(await tries({ retry: { methods: [method] } }), 2);
    assert.equal(await tries({ headers: { "idempotency-key": "k" }, retry: { limit: 0 } }), 1);
  });
}

Deno.test("the HTTP client does not repeat a POST whose connection was cut off: it may have been worked on", async () => {
  await withCutOffs(1, async (url, connections) => {
    await assert.rejects(client().post(url, { json: { a: 1 } }));
    assert.equal(connections(), 1);
  });
});

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

for (const code of [429, 500, 503, 529]) {
  Deno.test(`the HTTP client waits as long as Retry-After says after ${code}`, async () => {
    await withServer([status(code, { "retry-after": "1" }), ok], async (url) => {
      const startedAt = performance.now();
      await client().get(url).json();
      assert.ok(performance.now() - startedAt >= 950, "it did not wait the second");
    });
  });
}

Deno.test("the HTTP client does not come again before a time that is too far away", async () => {
  const far = new Date(Date.now() + 90_000).toUTCString();
  for (const after of ["61", far]) {
    await withServer([status(503, { "retry-after": after }), ok], async (url, calls) => {
      await assert.rejects(client().get(url), HTTPError);
      assert.equal(calls(), 1);
    });
  }
});

const inSeconds = (seconds: number) => String(Math.ceil(Date.now() / 1000) + seconds);
/** Headers that say when a limit ends, in a minute and a half. */
const resets: (() => Record<string, string>)[] = [
  () => ({ "ratelimit-reset": "90" }),
  () => ({ "x-ratelimit-reset": inSeconds(90) }),
  () => ({ "x-ratelimit-reset": `${inSeconds(90)}000` }),
  () => ({ "x-rate-limit-reset": inSeconds(90) }),
  () => ({ "x-ratelimit-retry-after": "90" }),
];

Deno.test("the HTTP client does not come again before a limit ends that ends too late, whichever header says so", async () => {
  for (const headers of resets) {
    await withServer([status(429, headers()), ok], async (url, calls) => {
      await assert.rejects(client().get(url), HTTPError);
      assert.equal(calls(), 1, JSON.stringify(headers()));
    });
  }
});

Deno.test("the HTTP client waits for the end of a limit after 429, and Retry-After knows best", async () => {
  for (
    const headers of [{ "ratelimit-reset": "1" }, {
      "retry-after": "1",
      "x-ratelimit-reset": inSeconds(3000),
    }]
  ) {
    await withServer([status(429, headers), ok], async (url) => {
      const startedAt = performance.now();
      await client().get(url).json();
      assert.ok(performance.now() - startedAt >= 950, "it did not wait the second");
    });
  }
});

Deno.test("the HTTP client does not wait for the end of a limit when the limit was not the failure", async () => {
  for (const headers of resets) {
    await assertQuick(
      "three calls",
      2_000,
      () =>
        timed(() =>
          withServer([status(502, headers()), status(503, headers()), ok], async (url, calls) => {
            await client().get(url).json();
            assert.equal(calls(), 3);
          })
        ),
    );
  }
});

Deno.test("the HTTP client keeps its own rules where a caller adds one, and a caller's shorter wait", async () => {
  const asked: number[] = [];
  const retry = { shouldRetry: () => void asked.push(1), maxRetryAfter: 2_000 };
  await withServer([status(503, { "retry-after": "3" }), ok], async (url, calls) => {
    await assert.rejects(client().get(url, { retry }), HTTPError);
    assert.equal(calls(), 1);
  });
  await withServer([status(503), ok], async (url) => {
    await client().get(url, { retry }).json();
    assert.equal(asked.length, 1);
  });
  await withServer([status(503), ok], async (url, calls) => {
    await assert.rejects(client().get(url, { retry: { shouldRetry: () => false } }), HTTPError);
    assert.equal(calls(), 1);
  });
});

Deno.test("the HTTP client tries again when an answer does not come in time", async () => {
  const hang = Promise.withResolvers<Response>();
  await withServer([() => hang.promise, ok], async (url, calls) => {
    const answer = client({ timeoutMs: 300 }).get(url).json();
    // Without this the server would wait for its first answer, and a failure would hang.
    await answer.catch(() => {}).finally(() => hang.resolve(ok()));
    assert.deepEqual(await answer, { ok: true });
    assert.equal(calls(), 2);
  });
});

/** A server that cuts its first connections off without an answer, answers the later ones, and counts. */
async function withCutOffs(
  cutOffs: number,
  test: (url: string, connections: () => number) => Promise<void>,
) {
  let connections = 0;
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const answer = new TextEncoder().encode(
    'HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{"ok":true}',
  );
  const serving = (async () => {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(10_000));
      if (++connections > cutOffs) await connection.write(answer);
      connection.close();
    }
  })();
  try {
    await test(`http://127.0.0.1:${listener.addr.port}/`, () => connections);
  } finally {
    listener.close();
    await serving;
  }
}

Deno.test("the HTTP client tries again when the connection is cut off", async () => {
  await withCutOffs(2, async (url, connections) => {
    assert.deepEqual(await client().put(url, { json: { a: 1 } }).json(), { ok: true });
    assert.equal(connections(), 3);
  });
});

Deno.test("the HTTP client gives up after three retries of a connection that is cut off", async () => {
  await withCutOffs(Infinity, async (url, connections) => {
    await assert.rejects(client().get(url), (error: unknown) => !(error instanceof HTTPError));
    assert.equal(connections(), 4);
  });
});

Deno.test("the HTTP client tries again when the connection is refused, then throws", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  const waits: number[] = [];
  const http = createHttpClient({
    signal: new AbortController().signal,
    backoffMs: (attempt) => waits.push(attempt) && 1,
  });
  await assert.rejects(http.get(`http://127.0.0.1:${port}/`));
  assert.deepEqual(waits, [1, 2, 3]);
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
