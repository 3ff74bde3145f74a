import assert from "node:assert/strict";
import { serveApi } from "../../../supabase/functions/cron/serve.ts";
import { FakePlatform } from "../../support/fake-platform.ts";
import type { Reply } from "../../support/http-server.ts";
import {
  ann,
  claimsOf,
  jwksPath,
  makeSigningKey,
  signToken,
  withKeyServer,
} from "../../support/user-tokens.ts";

const cronSecret = "c".repeat(32);
const serviceKey = "k".repeat(40);
const page = "https://console.example.com";
const key = await makeSigningKey("key");

const answering = (body: unknown, status = 200): Reply => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});
const listed = answering({ message: "done", entries: [], next_cursor: null, stalled_services: [] });

interface Asking {
  /** Calls the API; what it answered, and what it asked the database. */
  call(path: string, init?: RequestInit): Promise<{
    status: number;
    headers: Headers;
    body: { error?: { code: string; message: string; hint?: string } };
    asked: { door: string; args: Record<string, unknown> }[];
    fetched: number;
    lines: string[];
  }>;
  /** The header of ann's token, with these changes. */
  signedIn(changes?: Record<string, unknown>): Promise<{ authorization: string }>;
}

async function withApi(
  fn: (asking: Asking) => Promise<void>,
  { reply = listed, variables = {} }: { reply?: Reply; variables?: Record<string, string> } = {},
) {
  await withKeyServer(() => [key], async ({ url, requests }) => {
    const platform = new FakePlatform({
      CRON_SECRET: cronSecret,
      SUPABASE_URL: url,
      SUPABASE_SERVICE_ROLE_KEY: serviceKey,
      ...variables,
    });
    const serve = serveApi(platform);
    await fn({
      async call(path, init = {}) {
        const before = requests.length;
        const response = await serve(new Request(`http://127.0.0.1/cron${path}`, init));
        const text = await response.text();
        const made = requests.slice(before);
        return {
          status: response.status,
          headers: response.headers,
          body: text === "" ? {} : JSON.parse(text),
          asked: made.filter((request) => request.url.startsWith("/rest/v1/rpc/"))
            .map((request) => ({ door: request.url.slice(13), args: JSON.parse(request.body) })),
          fetched: made.filter((request) => request.url === jwksPath).length,
          lines: platform.lines,
        };
      },
      async signedIn(changes = {}) {
        const claims = { ...claimsOf(url, new Date(platform.now())), ...changes };
        return { authorization: `Bearer ${await signToken(key, claims)}` };
      },
    });
  }, reply);
}

const post = (headers: Record<string, string>, body: unknown) => ({
  method: "POST",
  headers,
  body: JSON.stringify(body),
});

Deno.test("a user's page is one round trip, in which the database looks the right up", () =>
  withApi(async ({ call, signedIn }) => {
    const headers = await signedIn();
    const { status, asked, fetched } = await call("/history?job=x", { headers });
    assert.deepEqual([status, fetched], [200, 1]);
    assert.deepEqual(asked, [{
      door: "scheduler_api_as_user",
      args: {
        p_user_id: ann,
        p_acts: false,
        p_door: "scheduler_api_history",
        p_args: { p_job: "x" },
      },
    }]);
    const again = await call("/audit-log", { headers });
    assert.deepEqual([again.status, again.asked.length, again.fetched], [200, 1, 0]);
  }));

Deno.test("a user acts under the name that the database knows, and needs no author", () =>
  withApi(async ({ call, signedIn }) => {
    const headers = await signedIn();
    const { status, asked } = await call("/jobs/x/pause", post(headers, { reason: "why" }));
    assert.equal(status, 200);
    assert.deepEqual(asked.map(({ args }) => args), [{
      p_user_id: ann,
      p_acts: true,
      p_door: "scheduler_api_act",
      p_args: { p_verb: "pause", p_subject: "x", p_reason: "why", p_input: {} },
    }]);
    const named = await call("/jobs/x/pause", post(headers, { reason: "why", author: "bob" }));
    assert.equal((named.asked[0]!.args.p_args as { p_author: string }).p_author, "bob");
    const ticked = await call("/tick", { headers });
    assert.equal(ticked.asked[0]!.args.p_acts, true);
  }));

Deno.test("with a secret an author has to be given", () =>
  withApi(async ({ call }) => {
    const headers = { "x-cron-secret": cronSecret };
    const { status, body, asked } = await call("/jobs/x/pause", post(headers, { reason: "why" }));
    assert.deepEqual([status, body.error!.code, asked], [400, "invalid_input", []]);
    assert.match(body.error!.message, /author: /);
  }));

for (
  const [code, what] of [["SD016", "is not listed"], ["SD207", "is a viewer, and would act"]]
) {
  Deno.test(`a user who ${what} gets 403 forbidden, and what the database says of it`, () =>
    withApi(async ({ call, signedIn }) => {
      const headers = await signedIn();
      for (const path of ["/status", "/openapi.json", "/nothing"]) {
        const { status, body, asked } = await call(path, { headers });
        assert.deepEqual([status, body.error!.code], [403, "forbidden"], path);
        assert.deepEqual([body.error!.message, body.error!.hint], ["Cannot answer: no", "do this"]);
        assert.equal(asked.length, 1, path);
      }
    }, { reply: answering({ code, message: "no", hint: "do this" }, 400) }));
}

Deno.test("a listed user reads the description, and learns what routes there are", () =>
  withApi(async ({ call, signedIn }) => {
    const headers = await signedIn();
    const { status, asked } = await call("/openapi.json", { headers });
    assert.deepEqual([status, asked], [200, [{
      door: "scheduler_api_operator",
      args: { p_user_id: ann },
    }]]);
    const unknown = await call("/nothing", { headers });
    assert.deepEqual([unknown.status, unknown.body.error!.code], [404, "unknown_route"]);
  }));

Deno.test("secrets are compared first: with one no token is looked at", () =>
  withApi(async ({ call }) => {
    const headers = { "x-cron-secret": cronSecret, authorization: "Bearer a.b.c" };
    const { status, asked, fetched } = await call("/audit-log", { headers });
    assert.deepEqual([status, fetched, asked[0]!.door], [200, 0, "scheduler_api_audit_log"]);
  }));

Deno.test("a token that is refused is 401, and the database is not asked", () =>
  withApi(async ({ call, signedIn }) => {
    const headers = await signedIn({ exp: 1 });
    for (const path of ["/status", "/nothing", "/openapi.json"]) {
      const { status, body, asked, headers: answered, lines } = await call(path, { headers });
      assert.deepEqual([status, body.error!.code, asked], [401, "unauthorized", []]);
      assert.match(body.error!.message, /it has expired/);
      assert.match(answered.get("www-authenticate")!, /invalid_token/);
      assert.ok(!JSON.stringify([body, lines]).includes(headers.authorization.slice(7)));
    }
  }));

Deno.test("what is no JWT is 401 without a look at the keys, and says who may ask", () =>
  withApi(async ({ call }) => {
    for (const value of ["sb_publishable_abc", "a.b", "a.b.c.d", `${serviceKey}x`]) {
      const headers = { authorization: `Bearer ${value}` };
      const { status, body, fetched } = await call("/status", { headers });
      assert.deepEqual([status, fetched], [401, 0], value);
      assert.match(body.error!.hint!, /x-cron-secret .* the token of a user who is signed in$/);
    }
  }));

Deno.test("where the keys cannot be fetched it is 503, and the log says so", () =>
  withApi(async ({ call, signedIn }) => {
    const { status, body, lines } = await call("/status", { headers: await signedIn() });
    assert.deepEqual([status, body.error!.code], [503, "auth_unavailable"]);
    assert.match(lines.join("\n"), /Supabase Auth gave no keys/);
  }, { variables: { SUPABASE_URL: "http://127.0.0.1:1" } }));

const corsOf = (headers: Headers) =>
  Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-")));
const origins = { variables: { CONSOLE_ORIGINS: `${page}, http://localhost:5173` } };
const question = (origin: string, method = "OPTIONS") => ({
  method,
  headers: {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
  },
});

Deno.test("a browser's question from a listed page is answered before the credential is looked at", () =>
  withApi(async ({ call }) => {
    for (const origin of [page, "http://localhost:5173"]) {
      for (const path of ["/status", "/jobs/x/pause", "/nothing"]) {
        const { status, headers, asked } = await call(path, question(origin));
        assert.deepEqual([status, asked], [204, []]);
        assert.deepEqual(corsOf(headers), {
          "access-control-allow-origin": origin,
          "access-control-allow-methods": "GET, HEAD, POST",
          "access-control-allow-headers": "authorization, content-type, apikey, x-client-info, " +
            "mcp-protocol-version, mcp-method, mcp-name",
          "access-control-max-age": "600",
        });
        assert.equal(headers.get("vary"), "origin");
      }
    }
  }, origins));

Deno.test("a listed page can read each answer, errors too; no answer takes cookies", () =>
  withApi(async ({ call, signedIn }) => {
    const cases: [string, Record<string, string>, number][] = [
      ["/audit-log", { "x-cron-secret": cronSecret }, 200],
      ["/audit-log", await signedIn(), 200],
      ["/audit-log", {}, 401],
      ["/audit-log", await signedIn({ exp: 1 }), 401],
      ["/nothing", { "x-cron-secret": cronSecret }, 404],
      ["/explain", { "x-cron-secret": cronSecret }, 400],
    ];
    for (const [path, headers, expected] of cases) {
      const found = await call(path, { headers: { ...headers, origin: page } });
      assert.equal(found.status, expected);
      assert.deepEqual(corsOf(found.headers), { "access-control-allow-origin": page });
      assert.equal(found.headers.get("vary"), "origin");
    }
  }, origins));

Deno.test("a page of any other origin gets no CORS header at all, whatever it asks", () =>
  withApi(async ({ call }) => {
    const others = [
      "https://console.example.com.evil.test",
      "https://evil.test",
      "http://console.example.com",
      "https://console.example.com:8443",
      "https://sub.console.example.com",
      "HTTPS://CONSOLE.EXAMPLE.COM",
      "null",
      "",
    ];
    for (const origin of others) {
      const asked = await call("/status", question(origin));
      assert.deepEqual([asked.status, corsOf(asked.headers)], [401, {}], origin);
      const headers = { "x-cron-secret": cronSecret, origin };
      const read = await call("/audit-log", { headers });
      assert.deepEqual([read.status, corsOf(read.headers)], [200, {}], origin);
      assert.equal(read.headers.get("vary"), "origin");
    }
  }, origins));

Deno.test("without CONSOLE_ORIGINS no page gets a CORS header", () =>
  withApi(async ({ call }) => {
    for (const origin of [page, "null", ""]) {
      const asked = await call("/status", question(origin));
      assert.deepEqual([asked.status, corsOf(asked.headers)], [401, {}]);
      assert.equal(asked.headers.get("vary"), null);
    }
  }));

Deno.test("OPTIONS that is no browser's question, and a question by another method, need a credential", () =>
  withApi(async ({ call }) => {
    const plain = await call("/status", { method: "OPTIONS", headers: { origin: page } });
    assert.equal(plain.status, 401);
    assert.equal((await call("/status", question(page, "POST"))).status, 401);
  }, origins));

const malformed = [
  "*",
  `${page},*`,
  "https://*.example.com",
  `${page}/`,
  `${page}/console`,
  `${page}?x`,
  "console.example.com",
  "http://console.example.com",
  "https://CONSOLE.example.com",
  "https://console.example.com:443",
  "https://user@console.example.com",
  "null",
  "file:///console",
  `${page},`,
  `${page} https://other.example.com`,
];
for (const value of malformed) {
  Deno.test(`CONSOLE_ORIGINS ${value} is 500 misconfigured to everybody`, () =>
    withApi(async ({ call }) => {
      const answers = [
        await call("/audit-log", { headers: { "x-cron-secret": cronSecret, origin: page } }),
        await call("/audit-log", question(page)),
      ];
      for (const { status, body, headers } of answers) {
        assert.deepEqual([status, body.error!.code], [500, "misconfigured"]);
        assert.match(body.error!.message, /CONSOLE_ORIGINS must be origins like .* is none$/);
        assert.deepEqual(corsOf(headers), {});
      }
    }, { variables: { CONSOLE_ORIGINS: value } }));
}

Deno.test("what is wrong in CONSOLE_ORIGINS is told by its place: callers without a credential read it", () =>
  withApi(async ({ call }) => {
    const { body, lines } = await call("/status");
    assert.match(body.error!.message, /: number 2 is none$/);
    assert.doesNotMatch(JSON.stringify([body, lines]), /hidden/);
  }, { variables: { CONSOLE_ORIGINS: `${page},https://user:hidden@example.com` } }));
