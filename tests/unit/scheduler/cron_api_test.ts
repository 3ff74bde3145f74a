import assert from "node:assert/strict";
import { serveApi } from "../../../supabase/functions/cron/serve.ts";
import { FakePlatform } from "../../support/fake-platform.ts";
import { type Reply, withHttpServer } from "../../support/http-server.ts";

const cronSecret = "c".repeat(32);
const serviceKey = "k".repeat(40);
const token = "the-token-of-the-watcher-0123456789";
const credential = { "x-cron-secret": cronSecret };

const answering = (body: unknown, status = 200): Reply => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});
const audit = { entries: [], next_cursor: null };

/** Calls the API where a server answers in the place of PostgREST. */
async function call(
  path: string,
  init: RequestInit = { headers: credential },
  { reply = answering(audit), variables = {} }: {
    reply?: Reply;
    variables?: Record<string, string>;
  } = {},
) {
  let result: {
    status: number;
    headers: Headers;
    text: string;
    lines: string[];
    asked: { url: string; body: string }[];
  } | undefined;
  await withHttpServer(() => reply, async (server) => {
    const all = {
      CRON_SECRET: cronSecret,
      METRICS_TOKEN: token,
      SUPABASE_URL: server.url,
      SUPABASE_SERVICE_ROLE_KEY: serviceKey,
      ...variables,
    };
    const platform = new FakePlatform(
      Object.fromEntries(Object.entries(all).filter(([, value]) => value !== "")),
    );
    const response = await serveApi(platform)(new Request(`http://127.0.0.1${path}`, init));
    result = {
      status: response.status,
      headers: response.headers,
      text: await response.text(),
      lines: platform.lines,
      asked: server.requests.map(({ url, body }) => ({ url, body })),
    };
  });
  return result!;
}

Deno.test("an answer is one round trip, asked with what was given and nothing else", async () => {
  const cases: [string, string, Record<string, string>][] = [
    ["/status", "scheduler_api_status", {}],
    ["/status/?cursor=job-9", "scheduler_api_status", { p_cursor: "job-9" }],
    ["/health/a%20b", "scheduler_api_health_of", { p_job: "a b" }],
    ["/history?status=failed&job=x", "scheduler_api_history", { p_job: "x", p_status: "failed" }],
    ["/timeline?from=2026-03-02T12:00:00Z", "scheduler_api_timeline", {
      p_from: "2026-03-02T12:00:00Z",
    }],
    ["/explain?job=x&at=2026-03-02T12:00:00%2B05:30", "scheduler_api_explain", {
      p_job: "x",
      p_at: "2026-03-02T12:00:00+05:30",
    }],
    ["/verify", "scheduler_api_verify", {}],
  ];
  for (const [path, name, args] of cases) {
    for (const prefix of ["/cron", "/functions/v1/cron"]) {
      const { status, asked } = await call(prefix + path);
      assert.equal(status, 200, path);
      assert.deepEqual(asked.map(({ url }) => url), [`/rest/v1/rpc/${name}`], path);
      assert.deepEqual(JSON.parse(asked[0]!.body), args, path);
    }
  }
});

Deno.test("no cache keeps an answer, whatever it is", async () => {
  const cases: [string, string, number][] = [
    ["GET", "/audit-log", 200],
    ["HEAD", "/audit-log", 200],
    ["GET", "/openapi.json", 200],
    ["POST", "/mcp", 415],
    ["GET", "/history?jb=x", 400],
    ["GET", "/nothing", 404],
    ["PUT", "/status", 405],
  ];
  for (const [method, path, expected] of cases) {
    const { status, headers } = await call(`/cron${path}`, { method, headers: credential });
    assert.deepEqual([status, headers.get("cache-control")], [expected, "no-store"], path);
  }
  const stranger = await call("/cron/status", {});
  assert.deepEqual([stranger.status, stranger.headers.get("cache-control")], [401, "no-store"]);
});

Deno.test("HEAD answers as GET does, without the text", async () => {
  const { status, text, asked } = await call("/cron/audit-log", {
    method: "HEAD",
    headers: credential,
  });
  assert.deepEqual([status, text, asked.length], [200, "", 1]);
});

Deno.test("nobody without a credential makes it ask the database, or learns what paths there are", async () => {
  const paths = ["/status", "/health", "/audit-log", "/openapi.json", "/nothing", ""];
  const strangers: Record<string, string>[] = [
    {},
    { "x-manual-call": "true" },
    { "x-cron-secret": `${cronSecret}x` },
    { apikey: token },
    { authorization: `Bearer ${token}x` },
    { authorization: `Basic ${btoa(`x:${cronSecret}`)}` },
  ];
  for (const path of paths) {
    for (const headers of strangers) {
      for (const method of ["GET", "POST", "OPTIONS"]) {
        const { status, text, asked } = await call(`/cron${path}`, { method, headers });
        assert.equal(status, 401, `${method} ${path} ${JSON.stringify(headers)}`);
        assert.equal(JSON.parse(text).error.code, "unauthorized");
        assert.deepEqual(asked, []);
      }
    }
  }
});

Deno.test("the watcher's token opens status, health, the health of a job and metrics alone", async () => {
  const headers = { authorization: `Bearer ${token}` };
  const health = { reply: answering({ stalled_services: [] }) };
  for (const path of ["/status", "/health", "/health/", "/health/x", "/metrics"]) {
    assert.equal((await call(`/cron${path}`, { headers }, health)).status, 200, path);
  }
  const others = [
    "/audit-log",
    "/history",
    "/health/x/y",
    "/statusx",
    "/x/status",
    "//status",
    "/health/%2e%2e/audit-log",
    "/%73tatus",
    "/mcp",
    "/tick",
    "/openapi.json",
  ];
  for (const path of others) {
    assert.equal((await call(`/cron${path}`, { headers }, health)).status, 401, path);
  }
});

Deno.test("a stalled service is 503, with the whole answer", async () => {
  const stalled = { stalled_services: ["job"], services: [] };
  const { status, text } = await call("/cron/health", undefined, { reply: answering(stalled) });
  assert.deepEqual([status, JSON.parse(text)], [503, stalled]);
});

const refused: [string, Reply, number, string, RegExp][] = [
  [
    "knows no such job",
    answering(
      { code: "SD001", message: "there is no job named 'x'", hint: "the jobs are: y" },
      400,
    ),
    404,
    "unknown_job",
    /the jobs are: y/,
  ],
  [
    "knows no such run",
    answering({ code: "SD002", message: "no run" }, 400),
    404,
    "unknown_run",
    /no run/,
  ],
  [
    "refuses a value",
    answering({ code: "22023", message: "status must" }, 400),
    400,
    "invalid_input",
    /status must/,
  ],
  [
    "cannot store a character",
    answering({ code: "22P05", message: "unsupported Unicode escape sequence" }, 400),
    400,
    "invalid_input",
    /unsupported Unicode/,
  ],
  [
    "knows no such offset",
    answering({ code: "22009", message: "time zone displacement out of range" }, 400),
    400,
    "invalid_input",
    /displacement/,
  ],
  [
    "took too long",
    answering({ code: "57014", message: "canceling statement" }, 500),
    503,
    "database_unavailable",
    /canceling statement/,
  ],
  ["breaks the connection", "reset", 503, "database_unavailable", /Cannot answer: ./],
];
for (const [what, reply, status, code, words] of refused) {
  Deno.test(`${status} ${code} when the database ${what}`, async () => {
    const found = await call("/cron/history", undefined, { reply });
    assert.deepEqual([found.status, JSON.parse(found.text).error.code], [status, code]);
    assert.match(found.text, words);
    for (const secret of [token, cronSecret, serviceKey]) {
      assert.ok(!found.text.includes(secret) && !found.lines.join("\n").includes(secret));
    }
  });
}

Deno.test("without its environment it is 500 misconfigured to everybody, and names the variable", async () => {
  for (
    const [variables, name] of [
      [{ METRICS_TOKEN: "t".repeat(31) }, "METRICS_TOKEN"],
      [{ CRON_SECRET: "" }, "CRON_SECRET"],
      [{ SUPABASE_SERVICE_ROLE_KEY: "" }, "SUPABASE_SERVICE_ROLE_KEY"],
      [{ SUPABASE_URL: "" }, "SUPABASE_URL"],
    ] as const
  ) {
    const { status, text } = await call("/cron/status", undefined, { variables });
    const { error } = JSON.parse(text);
    assert.deepEqual([status, error.code], [500, "misconfigured"]);
    assert.match(error.message, new RegExp(name));
    assert.doesNotMatch(text, /tttt/);
  }
});
