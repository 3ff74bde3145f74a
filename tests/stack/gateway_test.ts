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
