// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { withStack } from "../support/stack.ts";

Deno.test("the gateway serves REST and functions as Supabase's does", () =>
  withStack({ cron: false }, async (stack) => {
    const { apiUrl, keys } = stack;
    const rest = (headers: Record<string, string>) =>
      fetch(`${apiUrl}/rest/v1/scheduler_jobs?select=name`, { headers });

    const noKey = await rest({});
    assert.equal(noKey.status, 401);
    assert.match((await noKey.json()).message, /No API key/);

    const wrongKey = await rest({ apikey: "sb_secret_wrong" });
    assert.equal(wrongKey.status, 401);
    await wrongKey.body?.cancel();

    for (const apikey of [keys.secretKey, keys.serviceRoleKey]) {
      const allowed = await rest({ apikey, authorization: `Bearer ${apikey}` });
      assert.equal(allowed.status, 200, await allowed.clone().text());
      assert.ok(Array.isArray(await allowed.json()));
    }
    for (const apikey of [keys.publishableKey, keys.anonKey]) {
      const refused = await rest({ apikey });
      assert.equal(refused.status, 401, await refused.clone().text());
      assert.equal((await refused.json()).code, "42501");
    }

    const echoed = await fetch(`${apiUrl}/functions/v1/echo/more?a=1`, {
      method: "POST",
      headers: { "content-type": "application/json", apikey: keys.secretKey },
      body: '{"a":1}',
    });
    assert.equal(echoed.status, 200);
    const echo = await echoed.json();
    assert.equal(echo.path, "/echo/more?a=1");
    assert.equal(echo.method, "POST");
    assert.equal(echo.body, '{"a":1}');
    assert.equal(echo.headers.apikey, keys.secretKey);
    assert.equal(echo.env.SUPABASE_URL, apiUrl);
    assert.deepEqual(JSON.parse(echo.env.SUPABASE_SECRET_KEYS), { default: keys.secretKey });
    assert.equal(echo.env.CRON_SECRET, keys.cronSecret);

    const missing = await fetch(`${apiUrl}/functions/v1/nowhere`, { method: "POST" });
    assert.equal(missing.status, 404);
    assert.deepEqual(await missing.json(), {
      code: "NOT_FOUND",
      message: "Requested function was not found",
    });

    const broken = await fetch(`${apiUrl}/functions/v1/broken`, { method: "POST" });
    assert.equal(broken.status, 503);
    assert.equal((await broken.json()).code, "BOOT_ERROR");
  }));

Deno.test("a request that the gateway cannot pass on is 4xx with a code", () =>
  withStack({ cron: false }, async ({ apiUrl }) => {
    const { host, hostname, port } = new URL(apiUrl);
    /** Status and code of the answer to a request that `fetch` would refuse to send. */
    const ask = async (line: string, hostHeader = host) => {
      const connection = await Deno.connect({ hostname, port: Number(port) });
      const lines = [`${line} HTTP/1.1`, `host: ${hostHeader}`, "connection: close", "", ""];
      await connection.write(new TextEncoder().encode(lines.join("\r\n")));
      const [head, body] = (await new Response(connection.readable).text()).split("\r\n\r\n");
      return [Number(head!.split(" ")[1]), body ? JSON.parse(body).code : undefined];
    };
    for (const path of ["/functions/v1/echo", "/rest/v1/scheduler_jobs", "/nowhere"]) {
      for (const method of ["TRACE", "TRACK", "PROPFIND", "get", "M-SEARCH"]) {
        assert.deepEqual(await ask(`${method} ${path}`), [405, "METHOD_NOT_ALLOWED"], method);
      }
      // The server itself refuses these, without words.
      assert.equal((await ask(`CONNECT ${path}`))[0], 400);
    }
    for (const bad of ["a b", "[::1", "127.0.0.1:99999"]) {
      assert.deepEqual(await ask("GET /functions/v1/echo", bad), [400, "BAD_REQUEST"], bad);
    }
    for (const length of [0, 255, 256, 300, 10_000]) {
      const name = "a".repeat(length);
      assert.deepEqual(await ask(`POST /functions/v1/${name}`), [404, "NOT_FOUND"], `${length}`);
    }
  }));

Deno.test("no more of a body is taken than a job reads: nothing of a stranger's, 256 KiB of a caller's", () =>
  withStack({ cron: false }, async ({ apiUrl, keys }) => {
    const size = 400 * 1024 * 1024;
    for (const [headers, status] of [[{}, 401], [{ apikey: keys.secretKey }, 413]] as const) {
      let sent = 0;
      const chunk = new TextEncoder().encode(" ".repeat(256 * 1024));
      const body = new ReadableStream({
        pull(controller) {
          if (sent >= size) return controller.close();
          sent += chunk.length;
          controller.enqueue(chunk);
        },
      });
      const response = await fetch(`${apiUrl}/functions/v1/system-health`, {
        method: "POST",
        headers,
        body,
      });
      assert.equal(response.status, status, await response.text());
      assert.ok(sent < 32 * 1024 * 1024, `${status}: ${sent} bytes were taken`);
    }
  }));
