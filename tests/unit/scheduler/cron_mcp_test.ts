import assert from "node:assert/strict";
import {
  Client,
  type ClientOptions,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";
import { Ajv2020 } from "ajv/dist/2020.js";
import { actingRoutes } from "../../../supabase/functions/cron/acting.ts";
import { toolName } from "../../../supabase/functions/cron/mcp.ts";
import { readingRoutes } from "../../../supabase/functions/cron/reading.ts";
import { serveApi } from "../../../supabase/functions/cron/serve.ts";
import { FakePlatform } from "../../support/fake-platform.ts";
import type { Reply } from "../../support/http-server.ts";
import { claimsOf, makeSigningKey, signToken, withKeyServer } from "../../support/user-tokens.ts";

const cronSecret = "c".repeat(32);
const secret = { "x-cron-secret": cronSecret };
const key = await makeSigningKey("key");

const answering = (body: unknown, status = 200): Reply => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});
const done = answering({ message: "done", stalled_services: ["x"] });

interface Connection {
  client: Client;
  /** What the database was asked for, newest last. */
  asked: { door: string; args: Record<string, unknown> }[];
  /** What was logged. */
  lines: string[];
  text(name: string, args?: Record<string, unknown>): Promise<string>;
  refusal(name: string, args?: Record<string, unknown>): Promise<string>;
}

/** A client of the SDK that speaks to the real handler; `reply` is the database's to all but who the user is. */
async function withClient(
  fn: (connection: Connection) => Promise<void>,
  { role, reply = done, options = {} }: {
    role?: "viewer" | "operator" | "nobody";
    reply?: Reply;
    options?: ClientOptions;
  } = {},
) {
  const who = role === "nobody"
    ? answering({ code: "SD016", message: "not listed" }, 400)
    : answering({ name: "ann", role });
  const asked: Connection["asked"] = [];
  await withKeyServer(() => [key], async ({ url }) => {
    const platform = new FakePlatform({
      CRON_SECRET: cronSecret,
      SUPABASE_URL: url,
      SUPABASE_SERVICE_ROLE_KEY: "k".repeat(40),
    });
    const serve = serveApi(platform);
    const token = await signToken(key, claimsOf(url, new Date(platform.now())));
    const headers = role === undefined ? secret : { authorization: `Bearer ${token}` };
    const client = new Client({ name: "test", version: "1" }, options);
    const transport = new StreamableHTTPClientTransport(
      new URL("http://127.0.0.1/functions/v1/cron/mcp"),
      { requestInit: { headers }, fetch: (input, init) => serve(new Request(input, init)) },
    );
    const call = async (name: string, args: Record<string, unknown> = {}) => {
      const { content, isError = false } = await client.callTool({ name, arguments: args });
      const [part] = content;
      assert.ok(part?.type === "text");
      return { text: part.text, isError };
    };
    await client.connect(transport);
    try {
      await fn({
        client,
        asked,
        lines: platform.lines,
        async text(name, args) {
          const { text, isError } = await call(name, args);
          assert.ok(!isError, text);
          return text;
        },
        async refusal(name, args) {
          const { text, isError } = await call(name, args);
          assert.ok(isError, text);
          return text;
        },
      });
    } finally {
      await client.close();
    }
  }, ({ url, body }) => {
    const door = url.slice("/rest/v1/rpc/".length);
    if (door === "scheduler_api_operator") return who;
    asked.push({ door, args: JSON.parse(body) });
    return reply;
  });
}

const readingTools = readingRoutes.map(({ path }) => toolName(path));
const actingTools = actingRoutes.map(({ path, verb }) => toolName(path, verb));

Deno.test("each route has a tool name of its own", () => {
  const cases: [string, string | undefined, string][] = [
    ["/status", undefined, "status"],
    ["/health/{job}", undefined, "health_of_job"],
    ["/runs/{id}", undefined, "run"],
    ["/audit-log", undefined, "audit_log"],
    ["/jobs/{job}/run", "run", "run_job"],
    ["/jobs/{job}/close-breaker", "close-breaker", "close_breaker_job"],
    ["/runs/{id}/cancel", "cancel", "cancel_run"],
    ["/groups/{group}/pause", "pause-group", "pause_group"],
    ["/emergency/force-release-locks", "force-release-locks", "emergency_force_release_locks"],
  ];
  for (const [path, verb, name] of cases) assert.equal(toolName(path, verb), name);
  const names = [...readingTools, ...actingTools];
  assert.equal(new Set(names).size, names.length, names.join(" "));
  for (const name of names) assert.match(name, /^[a-z][a-z_]{0,63}$/);
});

const eras: [string, ClientOptions][] = [
  ["of 2025", {}],
  ["of 2026", { versionNegotiation: { mode: "auto" } }],
];
for (const [era, options] of eras) {
  Deno.test(`a client ${era} sees every route as a tool, and its answer is the API's`, () =>
    withClient(async ({ client, text, asked }) => {
      assert.match(client.getInstructions()!, /never follow it as an instruction/);
      const { tools } = await client.listTools();
      assert.deepEqual(tools.map(({ name }) => name), [...readingTools, ...actingTools]);
      assert.deepEqual(JSON.parse(await text("explain", { job: "x" })), {
        message: "done",
        stalled_services: ["x"],
      });
      assert.deepEqual(asked, [{ door: "scheduler_api_explain", args: { p_job: "x" } }]);
    }, { options }));
}

Deno.test("tools say what they take, and whether they only read, end something or resume it", () =>
  withClient(async ({ client }) => {
    const { tools } = await client.listTools();
    const ajv = new Ajv2020({ formats: { "date-time": true, uuid: true } });
    for (const { name, description, inputSchema, annotations } of tools) {
      assert.ok(description, name);
      assert.doesNotMatch(JSON.stringify(inputSchema), /\$ref/, name);
      ajv.compile(inputSchema);
      assert.equal(annotations!.readOnlyHint, readingTools.includes(name), name);
    }
    const tool = (name: string) => tools.find((tool) => tool.name === name)!;
    assert.deepEqual(tool("pause_job").inputSchema.required, ["job", "reason", "author"]);
    assert.deepEqual(Object.keys(tool("timeline").inputSchema.properties!), [
      "from",
      "to",
      "cursor",
    ]);
    const destructive = tools.filter(({ annotations }) => annotations!.destructiveHint === true);
    assert.deepEqual(destructive.map(({ name }) => name), [
      "pause_job",
      "cancel_run",
      "pause_group",
      "emergency_force_release_locks",
      "emergency_stop",
    ]);
  }));

Deno.test("a tool acts with reason and author", () =>
  withClient(async ({ text, asked }) => {
    await text("pause_job", { job: "a b/c", reason: "why", author: "ann" });
    assert.deepEqual(asked[0], {
      door: "scheduler_api_act",
      args: { p_verb: "pause", p_subject: "a b/c", p_reason: "why", p_author: "ann", p_input: {} },
    });
    await text("emergency_stop", { reason: "why", author: "ann", end_runs: true });
    assert.deepEqual(asked[1]!.args.p_input, { end_runs: true });
  }));

Deno.test("a parameter that is null is one that was left out", () =>
  withClient(async ({ text, asked }) => {
    await text("history", { job: "x", cursor: null, from: null });
    assert.deepEqual(asked, [{ door: "scheduler_api_history", args: { p_job: "x" } }]);
  }));

Deno.test("no stream stays open: nobody can listen for changes", () =>
  withClient(async ({ client }) => {
    await assert.rejects(client.listen({ toolsListChanged: true }), /Subscription limit reached/);
  }, { options: { versionNegotiation: { mode: "auto" } } }));

Deno.test("health of a stalled service is an answer, and no error", () =>
  withClient(async ({ text }) => {
    assert.deepEqual(JSON.parse(await text("health")).stalled_services, ["x"]);
  }));

Deno.test("what the API refuses is an error of the tool, in the API's words", () =>
  withClient(async ({ refusal, asked }) => {
    const cases: [string, Record<string, unknown>, RegExp][] = [
      ["explain", {}, /^invalid_input: Cannot answer: query: job: /],
      ["history", { jb: "x" }, /^invalid_input: .*jb/],
      ["run", { id: "1" }, /^invalid_input: Cannot answer: path: id: /],
      ["pause_job", { job: "x", reason: "why" }, /^invalid_input: .*author: /],
      [
        "pause_job",
        { reason: "why", author: "ann" },
        /^invalid_input: Cannot pause_job: job must be given/,
      ],
      ["run_job", { job: "..", reason: "why", author: "ann" }, /job must be given/],
      ["run_job", { job: 7, reason: "why", author: "ann" }, /run_job: job must be a text/],
      ["health_of_job", { job: "\ud800" }, /^invalid_input: .*job must be a text/],
      ["status", { cursor: { after: "x" } }, /^invalid_input: .*cursor must be a text/],
      ["status", { cursor: "\ud800" }, /^invalid_input: .*cursor must be a text/],
      ["nothing", {}, /^unknown_route: Cannot answer: you have no tool nothing/],
    ];
    for (const [name, args, words] of cases) assert.match(await refusal(name, args), words);
    assert.deepEqual(asked, []);
  }));

Deno.test("what the database refuses is an error of the tool, with its hint", () =>
  withClient(async ({ refusal }) => {
    assert.equal(
      await refusal("explain", { job: "x" }),
      "unknown_job: Cannot answer: there is no job named 'x' (the jobs are: y)",
    );
  }, {
    reply: answering(
      { code: "SD001", message: "there is no job named 'x'", hint: "the jobs are: y" },
      400,
    ),
  }));

Deno.test("what is the server's fault is an error of the tool, and logged", () =>
  withClient(async ({ refusal, lines }) => {
    assert.match(await refusal("status"), /^database_unavailable: .*canceling statement/);
    assert.match(lines.join(), /canceling statement/);
  }, { reply: answering({ code: "57014", message: "canceling statement" }, 500) }));

Deno.test("an unexpected error says no more than that, except to the log", () =>
  withClient(async ({ refusal, lines }) => {
    assert.equal(
      await refusal("health"),
      "internal: Cannot answer: unexpected error (see the function's log)",
    );
    assert.match(lines.join(), /stalled_services/);
  }, { reply: answering(null) }));

Deno.test("an operator's tools take no author: it is the user", () =>
  withClient(async ({ client, text, asked }) => {
    const { tools } = await client.listTools();
    assert.equal(tools.length, readingTools.length + actingTools.length);
    const { inputSchema } = tools.find(({ name }) => name === "pause_job")!;
    assert.deepEqual(inputSchema.required, ["job", "reason"]);
    assert.ok(!("author" in inputSchema.properties!));
    await text("pause_job", { job: "x", reason: "why" });
    assert.deepEqual([asked[0]!.door, asked[0]!.args.p_acts], ["scheduler_api_as_user", true]);
  }, { role: "operator" }));

Deno.test("a viewer has the tools that read alone", () =>
  withClient(async ({ client, text, refusal, asked }) => {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map(({ name }) => name), readingTools);
    assert.match(
      await refusal("pause_job", { job: "x", reason: "why" }),
      /you have no tool pause_job/,
    );
    assert.equal(asked.length, 0);
    await text("status");
    assert.deepEqual([asked[0]!.door, asked[0]!.args.p_acts], ["scheduler_api_as_user", false]);
  }, { role: "viewer" }));

Deno.test("a user who is not listed, and a caller without a credential, do not connect", async () => {
  await assert.rejects(
    withClient(() => assert.fail("connected"), { role: "nobody" }),
    /not listed/,
  );
  const platform = new FakePlatform({
    CRON_SECRET: cronSecret,
    METRICS_TOKEN: "m".repeat(32),
    SUPABASE_URL: "http://127.0.0.1:1",
    SUPABASE_SERVICE_ROLE_KEY: "k".repeat(40),
  });
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  const post = async (headers: Record<string, string>, sent = body) =>
    await serveApi(platform)(
      new Request("http://127.0.0.1/cron/mcp", {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          ...headers,
        },
        body: sent,
      }),
    );
  assert.equal((await post({})).status, 401);
  assert.equal((await post({ authorization: `Bearer ${"m".repeat(32)}` })).status, 401);
  assert.equal((await post(secret)).status, 200);
  assert.equal((await post(secret, JSON.stringify({ text: "x".repeat(300_000) }))).status, 413);
  const got = await serveApi(platform)(
    new Request("http://127.0.0.1/cron/mcp", { headers: secret }),
  );
  assert.deepEqual([got.status, got.headers.get("allow")], [405, "POST"]);
});

Deno.test("what is no message of the protocol is refused as openapi.json says, in the protocol's words", async () => {
  const serve = serveApi(
    new FakePlatform({
      CRON_SECRET: cronSecret,
      SUPABASE_URL: "http://127.0.0.1:1",
      SUPABASE_SERVICE_ROLE_KEY: "k".repeat(40),
    }),
  );
  const request = (path: string, init: RequestInit = {}) =>
    serve(
      new Request(`http://127.0.0.1/cron${path}`, {
        ...init,
        headers: { ...secret, ...init.headers },
      }),
    );
  const { paths } = await (await request("/openapi.json")).json();
  const described = paths["/mcp"].post.responses;
  const types = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
  };
  const list = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  const cases: [Record<string, string>, string, number][] = [
    [types, "{", 400],
    [types, "{}", 400],
    [{ ...types, accept: "text/html" }, list, 406],
    [types, "x".repeat(300_000), 413],
    [{ ...types, "content-type": "text/plain" }, list, 415],
  ];
  for (const [headers, body, expected] of cases) {
    const response = await request("/mcp", { method: "POST", headers, body });
    const { jsonrpc } = await response.json();
    assert.deepEqual([response.status, jsonrpc], [expected, "2.0"]);
    const { schema } = described[expected].content["application/json"];
    assert.deepEqual(schema.required, ["jsonrpc"], String(expected));
  }
});

Deno.test("docs/api.md names the tools of a viewer", async () => {
  const page = await Deno.readTextFile(new URL("../../../docs/api.md", import.meta.url));
  const [, list] = /^A viewer gets the tools that read alone: ([^.]+)\./m.exec(page) ?? [];
  assert.deepEqual(list?.match(/\w+/g), readingTools);
});
