import assert from "node:assert/strict";
import type { ClaimedAction } from "../../../supabase/functions/execute-scheduled-actions/actions.ts";
import {
  type CallbackOptions,
  createCallback,
} from "../../../supabase/functions/execute-scheduled-actions/callback.ts";
import {
  signatureHeaders,
  signingKey,
} from "../../../supabase/functions/execute-scheduled-actions/signature.ts";
import {
  type HttpsReceiver,
  type RawReply,
  withHttpsReceiver,
} from "../../support/https-receiver.ts";
import { caCertificate } from "../../support/receiver-certificate.ts";
import { assertQuick, timed } from "../../support/assert-quick.ts";

const key = signingKey("whsec_" + btoa("0123456789abcdef0123456789abcdef"))!;
const now = () => new Date("2026-03-02T12:00:07Z");

function actionFor(url: string, values: Partial<ClaimedAction> = {}): ClaimedAction {
  return {
    id: "00000000-0000-4000-8000-00000000000a",
    kind: "callback",
    receiver: "receiver.example",
    url,
    function_name: null,
    payload: '{"n": 1}',
    idempotency_key: "11111111-1111-4111-8111-111111111111",
    due_at: "2026-03-02T12:00:00+00:00",
    attempts: 0,
    ...values,
  };
}

/** Calls as if loopback were public and the test's authority were trusted; `options` put that back. */
function call(url: string, options: Partial<CallbackOptions> = {}, values = {}) {
  const callback = createCallback(key, {
    now,
    resolve: () => Promise.resolve(["127.0.0.1"]),
    isAllowed: (address) => address === "127.0.0.1",
    caCerts: [caCertificate],
    ...options,
  });
  return callback(actionFor(url, values), new AbortController().signal);
}

/** One call to a receiver that answers so. */
async function answered(reply: RawReply, options: Partial<CallbackOptions> = {}) {
  let outcome: unknown;
  await withHttpsReceiver(() => reply, async ({ port }) => {
    outcome = await call(`https://receiver.example:${port}/hook`, options);
  });
  return outcome as Awaited<ReturnType<typeof call>>;
}

Deno.test("a callback arrives signed, with its idempotency key, under the name of the URL", () =>
  withHttpsReceiver(() => ({ status: 204 }), async ({ port, requests }) => {
    const outcome = await call(`https://a.receiver.example:${port}/hook?a=b c`);
    assert.deepEqual(outcome, { outcome: "completed", http_status: 204 });
    const [request] = requests;
    assert.equal(requests.length, 1);
    assert.deepEqual([request!.method, request!.url], ["POST", "/hook?a=b%20c"]);
    assert.deepEqual(JSON.parse(request!.body), {
      type: "scheduled_action.due",
      timestamp: "2026-03-02T12:00:00+00:00",
      data: { n: 1 },
    });
    const { headers } = request!;
    const id = "11111111-1111-4111-8111-111111111111";
    assert.equal(headers.host, `a.receiver.example:${port}`);
    assert.equal(headers["idempotency-key"], id);
    assert.equal(headers["content-type"], "application/json");
    const expected = signatureHeaders(key, id, now(), request!.body);
    for (const [name, value] of Object.entries(expected)) assert.equal(headers[name], value, name);
  }));

Deno.test("a redirect is a failure and is not followed", () =>
  withHttpsReceiver(() => ({ status: 200 }), async (target) => {
    for (const status of [301, 302, 303, 307, 308]) {
      const location = `https://receiver.example:${target.port}/`;
      assert.deepEqual(await answered({ status, headers: { location } }), {
        outcome: "failed",
        http_status: status,
        error: `HTTP ${status}: redirects are not followed, schedule the final URL`,
      });
    }
    assert.equal(target.requests.length, 0);
  }));

/** Nothing arrives at a receiver on loopback when it is called so. */
async function assertRefused(
  url: (receiver: HttpsReceiver) => string,
  options: Partial<CallbackOptions>,
) {
  await withHttpsReceiver(() => ({ status: 200 }), async (receiver) => {
    const outcome = await call(url(receiver), options);
    assert.equal(outcome.outcome, "failed");
    assert.match(outcome.error!, /not allowed|must be https/);
    assert.equal(outcome.silent, undefined);
    assert.equal(receiver.requests.length, 0);
  });
}

Deno.test("addresses that are not public are refused: in the URL, from the DNS, also beside a public address", async () => {
  const strict = { isAllowed: undefined } as unknown as Partial<CallbackOptions>;
  for (
    const host of ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1"]
  ) {
    await assertRefused(({ port }) => `https://${host}:${port}/`, strict);
  }
  await assertRefused(({ port }) => `https://receiver.example:${port}/`, strict);
  await assertRefused(({ port }) => `https://receiver.example:${port}/`, {
    ...strict,
    resolve: () => Promise.resolve(["1.1.1.1", "127.0.0.1"]),
  });
});

Deno.test("a malformed URL is given up at once, and does not count as silence of a receiver", async () => {
  for (const url of ["https://[::1/", "https://receiver.example:99999/", "https://a%00b/"]) {
    assert.deepEqual(await call(url), {
      outcome: "failed",
      error: "the URL cannot be read",
      final: true,
    });
  }
});

Deno.test("http, and a URL with user and password, are refused", async () => {
  await assertRefused(({ port }) => `http://receiver.example:${port}/`, {});
  await assertRefused(({ port }) => `https://ann:secret@receiver.example:${port}/`, {});
});

Deno.test("a name is looked up once, so a later change of the DNS has no effect", () =>
  withHttpsReceiver(() => ({ status: 200 }), async ({ port, requests }) => {
    const answers = [["127.0.0.1"], ["127.0.0.2"]];
    const callback = createCallback(key, {
      now,
      resolve: () => Promise.resolve(answers.shift() ?? []),
      isAllowed: (address) => address === "127.0.0.1",
      caCerts: [caCertificate],
    });
    for (let n = 0; n < 2; n++) {
      const action = actionFor(`https://receiver.example:${port}/`);
      assert.equal((await callback(action, new AbortController().signal)).outcome, "completed");
    }
    assert.equal(requests.length, 2);
    assert.equal(answers.length, 1);
  }));

Deno.test("each try goes to the next address", () =>
  withHttpsReceiver(() => ({ status: 200 }), async ({ port }) => {
    const options = {
      resolve: () => Promise.resolve(["127.0.0.2", "127.0.0.1"]),
      isAllowed: () => true,
    };
    const url = `https://receiver.example:${port}/`;
    assert.equal((await call(url, options, { attempts: 0 })).silent, true);
    assert.equal((await call(url, options, { attempts: 1 })).outcome, "completed");
  }));

Deno.test("a receiver must show a trusted certificate of the URL's name", () =>
  withHttpsReceiver(() => ({ status: 200 }), async ({ port, requests }) => {
    const other = await call(`https://receiver.test:${port}/`);
    assert.match(other.error!, /^no answer: .*certificate/i);
    const untrusted = await call(`https://receiver.example:${port}/`, { caCerts: [] });
    assert.match(untrusted.error!, /^no answer: .*certificate/i);
    assert.equal(requests.length, 0);
  }));

for (const status of [400, 401, 404, 500, 503]) {
  Deno.test(`HTTP ${status} is a failure that is tried again`, async () => {
    assert.deepEqual(await answered({ status }), {
      outcome: "failed",
      http_status: status,
      error: `HTTP ${status}`,
    });
  });
}

Deno.test("410 asks not to be called again", async () => {
  assert.equal((await answered({ status: 410 })).final, true);
});

Deno.test("Retry-After is followed, as seconds and as a date, up to a day", async () => {
  const wait = async (value: string) =>
    (await answered({ status: 429, headers: { "retry-after": value } })).retry_after_seconds;
  assert.equal(await wait("120"), 120);
  assert.equal(await wait("Mon, 02 Mar 2026 12:05:07 GMT"), 300);
  assert.equal(await wait("99999999"), 86_400);
  assert.equal(await wait("Mon, 02 Mar 2026 11:00:00 GMT"), undefined);
  assert.equal(await wait("Monday, 02-Mar-26 12:05:07 GMT"), 300);
  for (const value of ["soon", "0", "2026-03-02T12:05:07Z", "Mar 2 2027"]) {
    assert.equal(await wait(value), undefined, value);
  }
});

Deno.test("a receiver that hangs, resets or speaks no HTTP gives no answer", async () => {
  assert.deepEqual(await answered("hang", { timeoutMs: 200 }), {
    outcome: "failed",
    error: "no answer within 0.2 s",
    silent: true,
  });
  assert.match((await answered("reset")).error!, /^no answer: /);
  assert.match((await answered(["SMTP is spoken here\r\n\r\n"])).error!, /no HTTP/);
  assert.match(
    (await answered(["HTTP/1.1 200 OK\r\n" + "a: b\r\n".repeat(5000)])).error!,
    /too long/,
  );
});

Deno.test("a name without an address, and one that is never resolved, give no answer", async () => {
  const missing = await call("https://receiver.example/", {
    resolve: () => Promise.reject(new Error("the name receiver.example has no address")),
  });
  assert.deepEqual([missing.error, missing.silent], [
    "no answer: the name receiver.example has no address",
    true,
  ]);
  const hanging = await call("https://receiver.example/", {
    resolve: () => new Promise(() => {}),
    timeoutMs: 50,
  });
  assert.equal(hanging.error, "no answer within 0.05 s");
});

Deno.test("an interim answer is skipped, and an endless body is cut off soon", async () => {
  const interim =
    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
  assert.equal((await answered([interim])).http_status, 202);
  const endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + "x".repeat(100_000);
  const unfinished = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nx";
  await assertQuick("two answers", 5_000, () =>
    timed(async () => {
      assert.equal((await answered([endless])).outcome, "completed");
      assert.equal((await answered([unfinished])).outcome, "completed");
    }));
});
