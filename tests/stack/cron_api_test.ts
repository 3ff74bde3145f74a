import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import { beat, fire, registerJob, untilStatus } from "../support/faults.ts";
import { type Stack, withStack } from "../support/stack.ts";

const token = "the-token-of-the-watcher-0123456789";

interface Operation {
  parameters?: { name: string; in: string }[];
  responses: Record<string, { content: { "application/json": { schema: object } } }>;
}
interface Description {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: object;
}

/** Asks the API, and holds every answer against what openapi.json says of that route and status. */
async function describedApi({ apiUrl, keys }: Stack) {
  const url = `${apiUrl}/functions/v1/cron`;
  const authorized: Record<string, string> = { "x-cron-secret": keys.cronSecret };
  const response = await fetch(`${url}/openapi.json`, { headers: authorized });
  assert.equal(response.status, 200);
  const description: Description = await response.json();
  const ajv = new Ajv2020({
    allErrors: true,
    formats: {
      "date-time": (text: string) => !Number.isNaN(Date.parse(text)),
      date: /^\d{4}-\d\d-\d\d$/,
      uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
    },
  });
  ajv.addVocabulary(["components", "paths", "info", "servers", "security", "openapi", "webhooks"]);
  ajv.addSchema(description, "openapi");
  const pointer = (...parts: string[]) =>
    parts.map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))).join(
      "/",
    );
  const asked = new Set<string>();

  async function ask(path: string, init: RequestInit = {}, route = path.split("?")[0]!) {
    const method = (init.method ?? "GET").toLowerCase();
    const answer = await fetch(url + path, { headers: authorized, ...init });
    const body = await answer.json();
    const what = `${init.method ?? "GET"} ${path}: ${answer.status} ${JSON.stringify(body)}`;
    if (description.paths[route]?.[method] !== undefined) {
      const place = pointer(
        "paths",
        route,
        method,
        "responses",
        String(answer.status),
        "content",
        "application/json",
        "schema",
      );
      const validate = ajv.getSchema(`openapi#/${place}`);
      assert.ok(validate, `${what}: no such answer is described`);
      assert.ok(validate(body), `${what}\n${ajv.errorsText(validate.errors)}`);
      asked.add(`${method} ${route} ${answer.status}`);
    }
    return { status: answer.status, body, headers: answer.headers };
  }
  const act = (path: string, body: object, route = path) =>
    ask(path, { method: "POST", headers: authorized, body: JSON.stringify(body) }, route);
  return { ask, act, asked, description };
}

Deno.test("the API cron", (test) =>
  withStack({ cron: false, env: { METRICS_TOKEN: token } }, async (stack) => {
    const { sql } = stack;
    await sql`select scheduler.unregister_job(name) from scheduler_jobs where depends_on <> '{}'`;
    await sql`select scheduler.unregister_job(name) from scheduler_jobs`;
    await registerJob(sql, "fickle", { alias: "the-fickle", max_attempts: 1 });
    const good = await fire(sql, "fickle");
    await untilStatus(sql, good, "completed");
    await sql`update scheduler_jobs set payload = '{"behaviour": "throw"}'`;
    const bad = await fire(sql, "fickle");
    await untilStatus(sql, bad, "failed");
    await beat(sql);
    const { ask, act, asked, description } = await describedApi(stack);

    await test.step("answers each route as openapi.json describes it", async () => {
      const status = (await ask("/status")).body;
      assert.equal(status.sentence, "Of 1 job 1 is failing. Look at fickle.");
      assert.equal(status.jobs[0].last_run.run_id, bad);
      const { services } = (await ask("/health")).body;
      assert.deepEqual(services.map(({ service }: { service: string }) => service), ["the-fickle"]);
      const one = await ask("/health/the-fickle", {}, "/health/{job}");
      assert.deepEqual([one.status, one.body.errors.last.run_id], [200, bad]);
      const { windows } = (await ask("/metrics")).body.jobs[0];
      assert.deepEqual([windows["1h"].runs, windows["30d"].success_rate], [2, 0.5]);
      assert.ok(windows["24h"].duration.p99_ms > 0);
      assert.equal((await ask("/metrics?job=the-fickle")).body.jobs.length, 1);
      const foreseen = (await ask("/forecast?job=the-fickle")).body;
      assert.deepEqual([foreseen.jobs[0].job, foreseen.jobs[0].days], ["fickle", 0]);
      assert.match(foreseen.project.ledger.sentence, /^the ledger has \d+ rows/);
      const { runs } = (await ask("/history?job=fickle&status=failed")).body;
      assert.deepEqual(runs.map(({ run_id }: { run_id: string }) => run_id), [bad]);
      const broken = (await ask("/failures?since=2026-01-01T00:00:00Z")).body.jobs;
      assert.deepEqual([broken.length, broken[0].last_run.run_id], [1, bad]);
      const { lines } = (await ask("/logs")).body;
      assert.deepEqual(
        lines.flatMap(({ run }: { run: { run_id: string } | null }) => run?.run_id ?? []),
        [bad, good],
      );
      const page = (await ask(`/runs/${good}`, {}, "/runs/{id}")).body;
      assert.deepEqual([page.run.summary, page.attempts.length], ["done", 1]);
      assert.match((await ask("/explain?job=fickle")).body.sentence, /^fickle failed at /);
      assert.equal((await ask("/next?job=fickle")).body.occurrences.length, 100);
      assert.equal((await ask("/next")).body.occurrences.length, 1);
      assert.equal((await ask("/timeline")).body.jobs[0].job, "fickle");
      await sql`select scheduler.pause('fickle', 'why', 'ann')`;
      const log = (await ask("/audit-log")).body;
      assert.deepEqual([log.entries[0].verb, log.entries[0].author], ["pause", "ann"]);
      assert.equal((await ask("/status")).body.jobs[0].stopped_by, "paused by ann: why");
      await sql`select scheduler.resume('fickle', 'ann')`;
      const { checks } = (await ask("/verify")).body;
      assert.ok(checks.length > 8);
    });

    await test.step("takes a time with an offset, also where the plus sign became a blank", async () => {
      const encoded = await ask("/explain?job=fickle&at=2026-03-02T12:00:00%2B01:00");
      const plain = await ask("/explain?job=fickle&at=2026-03-02T12:00:00+01:00");
      assert.equal(encoded.status, 200);
      assert.equal(plain.body.at, encoded.body.at);
    });

    await test.step("refuses with 400 or 404 what Postgres cannot read, and calls it no outage", async () => {
      const paths: [string, string?][] = [
        ["/health/%00", "/health/{job}"],
        ["/history?job=%00"],
        ["/status?cursor=%00"],
        ["/next?cursor=2026-02-30T12:00:00.000000Z~fickle"],
        ["/audit-log?cursor=999999999999999999999"],
        ["/explain?job=fickle&at=2026-03-02T12:00:00%2B23:00"],
        ["/explain?job=fickle&at=0000-03-02T12:00:00Z"],
        ["/failures?since=0000-01-01T00:00:00Z"],
        ["/failures?since=0001-01-01T00:00:00%2B01:00"],
        ["/timeline?from=9999-12-31T12:00:00Z&to=9999-12-31T23:59:59-15:00"],
        ["/logs?from=2026-03-02T12:00:00%2B16:00"],
      ];
      for (const [path, route] of paths) {
        const { status, body } = await ask(path, {}, route);
        assert.ok([400, 404].includes(status), `${path}: ${status} ${JSON.stringify(body)}`);
      }
      const because = { reason: "why", author: "ann" };
      const acts: [string, object, string?][] = [
        ["/jobs/%00/pause", because, "/jobs/{job}/pause"],
        ["/groups/%00/pause", because, "/groups/{group}/pause"],
        ["/channels/%00/test", because, "/channels/{channel}/test"],
        [
          "/jobs/fickle/pause",
          { ...because, until: "2126-03-02T12:00:00+23:00" },
          "/jobs/{job}/pause",
        ],
        ["/jobs/fickle/pause", { ...because, until: "0000-03-02T12:00:00Z" }, "/jobs/{job}/pause"],
        ["/jobs/fickle/pause", { reason: "x\u0000", author: "ann" }, "/jobs/{job}/pause"],
        ["/jobs/fickle/pause", { reason: "x\ud800", author: "ann" }, "/jobs/{job}/pause"],
        ["/emergency/force-release-locks", { ...because, jobs: ["x\u0000"] }],
      ];
      for (const [path, sent, route] of acts) {
        const { status, body } = await act(path, sent, route);
        assert.ok([400, 404].includes(status), `${path}: ${status} ${JSON.stringify(body)}`);
      }
    });

    await test.step("answers 503 once a service is stalled", async () => {
      await untilStatus(sql, await fire(sql, "fickle"), "failed");
      const found = await ask("/health");
      assert.deepEqual([found.status, found.body.stalled_services], [503, ["the-fickle"]]);
      const one = await ask("/health/fickle", {}, "/health/{job}");
      assert.deepEqual([one.status, one.body.status], [503, "STALLED"]);
    });

    await test.step("names what is wrong with a request", async () => {
      const cases: [string, string, number, string, RegExp][] = [
        ["/history?job=nobody", "/history", 404, "unknown_job", /no job named 'nobody'/],
        ["/metrics?job=nobody", "/metrics", 404, "unknown_job", /no job named 'nobody'/],
        ["/health/nobody", "/health/{job}", 404, "unknown_job", /no job named 'nobody'/],
        [`/runs/${crypto.randomUUID()}`, "/runs/{id}", 404, "unknown_run", /there is no run/],
        ["/runs/1", "/runs/{id}", 400, "invalid_input", /path: id: /],
        ["/history?status=broken", "/history", 400, "invalid_input", /status must be one of/],
        ["/history?cursor=x", "/history", 400, "invalid_input", /next_cursor of the page before/],
        ["/history?from=yesterday", "/history", 400, "invalid_input", /query: from: /],
        ["/history?jb=fickle", "/history", 400, "invalid_input", /query: .*jb/],
        ["/explain", "/explain", 400, "invalid_input", /query: job: /],
        ["/timeline?from=2026-01-01T00:00Z", "/timeline", 400, "invalid_input", /query: from: /],
        [
          "/timeline?from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z",
          "/timeline",
          400,
          "invalid_input",
          /at most 31 days/,
        ],
        ["/nothing", "", 404, "unknown_route", /there is no \/nothing/],
        ["", "", 404, "unknown_route", /there is no \//],
      ];
      for (const [path, route, status, code, message] of cases) {
        const found = await ask(path, {}, route);
        const { error } = found.body;
        assert.deepEqual([found.status, error.code], [status, code], `${path}: ${error.message}`);
        assert.match(error.message, message, path);
      }
      const post = { method: "POST", headers: { "x-cron-secret": stack.keys.cronSecret } };
      const got = await ask("/emergency/stop", {}, "");
      assert.deepEqual([got.status, got.headers.get("allow")], [405, "POST"]);
      for (const path of ["/status", "/runs/1", "/openapi.json"]) {
        const { status, body, headers } = await ask(path, post, "");
        assert.deepEqual([status, body.error.code, headers.get("allow")], [
          405,
          "method_not_allowed",
          "GET, HEAD",
        ]);
      }
    });

    await test.step("does what an operator asks, with reason and author", async () => {
      const because = { reason: "it is late", author: "ann" };
      await sql`select scheduler.register_group('night')`;
      await sql`update scheduler_jobs set group_name = 'night', payload = '{}'`;
      const job = (verb: string, body = {}) =>
        act(`/jobs/the-fickle/${verb}`, { ...because, ...body }, `/jobs/{job}/${verb}`);
      const { run_id } = (await job("run", { payload: { behaviour: "throw" } })).body;
      await untilStatus(sql, run_id, "failed");
      const retry = await act(`/runs/${run_id}/retry`, because, "/runs/{id}/retry");
      await untilStatus(sql, retry.body.run_id, "completed");
      const over = await act(`/runs/${run_id}/cancel`, because, "/runs/{id}/cancel");
      assert.match(over.body.message, /is over already/);
      assert.match((await job("pause")).body.message, /until somebody resumes it/);
      assert.match((await job("resume")).body.message, /runs again/);
      assert.equal((await job("close-breaker")).status, 200);
      const range = { from: "2026-03-02T00:00:00Z", to: "2026-03-03T00:00:00Z" };
      assert.equal((await job("backfill", range)).body.preview, true);
      for (const verb of ["pause", "resume"]) {
        const found = await act(`/groups/night/${verb}`, because, `/groups/{group}/${verb}`);
        assert.equal(found.status, 200, JSON.stringify(found.body));
      }
      await sql`select vault.create_secret(${`${stack.apiUrl}/nothing`}, 'alert_ops_address')`;
      await sql`select scheduler.register_alert_channel('ops', 'slack', 'a test', 'ann')`;
      const tested = await act("/channels/ops/test", because, "/channels/{channel}/test");
      assert.match(tested.body.message, /next pulse sends it/);
      const [channel, ...others] = (await ask("/channels")).body.channels;
      assert.deepEqual([channel.name, channel.fault, channel.waiting, others], [
        "ops",
        null,
        1,
        [],
      ]);
      const locks = await act("/emergency/force-release-locks", because);
      assert.deepEqual(locks.body, { released: [] });
      assert.match((await act("/emergency/stop", because)).body.message, /^1 job is stopped/);
      const twice = await act("/emergency/stop", because);
      assert.deepEqual([twice.status, twice.body.error.code], [409, "refused"]);
      assert.equal((await act("/emergency/restart", { ...because, ramp_seconds: 0 })).status, 200);
      for (const method of ["GET", "POST"]) {
        const headers = { "x-cron-secret": stack.keys.cronSecret };
        const { body } = await ask("/tick", { method, headers });
        assert.deepEqual([body.beat, body.errors], [true, {}]);
      }
      const { entries } = (await ask("/audit-log")).body;
      const told = entries.filter(({ reason }: { reason: string }) => reason === "it is late");
      assert.deepEqual(
        told.map(({ verb, author }: Record<string, string>) => `${author} ${verb}`).reverse(),
        [
          "run_now",
          "retry_run",
          "pause",
          "resume",
          "pause_group",
          "resume_group",
          "test_alert_channel",
          "start_incident",
          "end_incident",
        ]
          .map((verb) => `ann ${verb}`),
      );
    });

    await test.step("does nothing with a body that is wrong, and names the field", async () => {
      const before = (await ask("/audit-log")).body.entries.length;
      const because = { reason: "it is late", author: "ann" };
      const cases: [string, string, object, number, string, RegExp][] = [
        ["/jobs/fickle/run", "/jobs/{job}/run", {}, 400, "invalid_input", /reason: .*author: /],
        [
          "/jobs/fickle/run",
          "/jobs/{job}/run",
          { ...because, author: " " },
          400,
          "invalid_input",
          /author: must not be blank/,
        ],
        [
          "/jobs/fickle/run",
          "/jobs/{job}/run",
          { ...because, paylod: {} },
          400,
          "invalid_input",
          /paylod/,
        ],
        ["/jobs/nobody/run", "/jobs/{job}/run", because, 404, "unknown_job", /nobody/],
        ["/groups/nobody/pause", "/groups/{group}/pause", because, 404, "unknown_group", /nobody/],
        [
          "/channels/nobody/test",
          "/channels/{channel}/test",
          because,
          404,
          "unknown_channel",
          /no alert channel named 'nobody'/,
        ],
        ["/runs/1/cancel", "/runs/{id}/cancel", because, 400, "invalid_input", /path: id: /],
        [
          `/runs/${crypto.randomUUID()}/cancel`,
          "/runs/{id}/cancel",
          because,
          404,
          "unknown_run",
          /no run/,
        ],
        [
          "/emergency/restart",
          "/emergency/restart",
          { ...because, ramp_seconds: 1e9 },
          400,
          "invalid_input",
          /ramp_seconds/,
        ],
        [
          "/emergency/stop",
          "/emergency/stop",
          { ...because, reason: "x".repeat(300_000) },
          413,
          "body_too_large",
          /262144 bytes/,
        ],
      ];
      for (const [path, route, body, status, code, message] of cases) {
        const found = await act(path, body, route);
        assert.deepEqual(
          [found.status, found.body.error.code],
          [status, code],
          JSON.stringify(found.body),
        );
        assert.match(found.body.error.message, message, path);
      }
      const headers = { "x-cron-secret": stack.keys.cronSecret };
      const garbage = await ask("/emergency/stop", { method: "POST", headers, body: "garbage" });
      assert.deepEqual([garbage.status, garbage.body.error.code], [400, "invalid_json"]);
      assert.equal((await ask("/audit-log")).body.entries.length, before);
    });

    await test.step("answers a client of the Model Context Protocol", async () => {
      const asking = (method: string, params: object) => ({
        method: "POST",
        headers: {
          "x-cron-secret": stack.keys.cronSecret,
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          "mcp-protocol-version": "2026-07-28",
          "mcp-method": method,
          "mcp-name": "explain",
        },
        body: JSON.stringify({
          jsonrpc: "2.0",
          id: 1,
          method,
          params: {
            ...params,
            _meta: {
              "io.modelcontextprotocol/protocolVersion": "2026-07-28",
              "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
              "io.modelcontextprotocol/clientCapabilities": {},
            },
          },
        }),
      });
      const { status, body } = await ask(
        "/mcp",
        asking("tools/call", { name: "explain", arguments: { job: "fickle" } }),
      );
      assert.equal(status, 200, JSON.stringify(body));
      const { sentence } = JSON.parse(body.result.content[0].text);
      assert.equal(sentence, (await ask("/explain?job=fickle")).body.sentence);
    });

    await test.step("every route that is described was asked, and answered with success", () => {
      const silent = Object.entries(description.paths).flatMap(([route, methods]) =>
        Object.keys(methods).map((method) => `${method} ${route}`)
      ).filter((route) => !asked.has(`${route} 200`));
      assert.deepEqual(silent, []);
      assert.equal(description.openapi, "3.1.0");
    });

    await test.step("lets nobody in without a credential, whatever the path, and no watcher further", async () => {
      const code = async (path: string, headers: Record<string, string>) =>
        (await ask(path, { headers }, "")).body.error?.code;
      for (const path of ["/status", "/openapi.json", "/nothing", "/runs/1", "/health/nobody"]) {
        assert.equal(await code(path, {}), "unauthorized", path);
        assert.equal(await code(path, { apikey: stack.keys.anonKey }), "unauthorized", path);
      }
      const watcher = { authorization: `Bearer ${token}` };
      for (const path of ["/status", "/health", "/health/fickle", "/metrics"]) {
        assert.equal(await code(path, watcher), undefined, path);
      }
      for (const path of ["/history", "/audit-log", "/verify", "/openapi.json", "/health/a/b"]) {
        assert.equal(await code(path, watcher), "unauthorized", path);
      }
    });
  }));
