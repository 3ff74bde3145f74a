import assert from "node:assert/strict";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { createClient, FunctionsHttpError } from "@supabase/supabase-js";
import { withStack } from "../support/stack.ts";

Deno.test("users of Supabase Auth ask the API", (test) =>
  withStack(
    { cron: false, env: { CONSOLE_ORIGINS: "https://console.example.com" } },
    async (stack) => {
      const { sql, apiUrl, keys, auth } = stack;
      const viewer = auth.addUser("viewer@example.com");
      const operator = auth.addUser("operator@example.com");
      const stranger = auth.addUser("stranger@example.com");
      await sql`select scheduler.add_operator(${viewer.id}, 'viewer', ${viewer.email}, 'on duty', 'carl')`;
      await sql`select scheduler.add_operator(${operator.id}, 'operator', ${operator.email}, 'on duty', 'carl')`;
      const client = () =>
        createClient(apiUrl, keys.publishableKey, {
          auth: { persistSession: false, autoRefreshToken: false },
        });
      const signIn = async (user: { email: string; password: string }) => {
        const supabase = client();
        const { data, error } = await supabase.auth.signInWithPassword(user);
        assert.equal(error, null);
        return { supabase, session: data.session! };
      };
      /** What `cron` answers a user of supabase-js: status and body. */
      const ask = async (
        { supabase }: Awaited<ReturnType<typeof signIn>>,
        path: string,
        body?: Record<string, unknown>,
      ) => {
        const { data, error } = await supabase.functions.invoke(
          `cron/${path}`,
          body === undefined ? { method: "GET" } : { body },
        );
        if (error === null) return { status: 200, body: data };
        assert.ok(error instanceof FunctionsHttpError, String(error));
        return { status: error.context.status, body: await error.context.json() };
      };

      await test.step("an operator acts under their name, a viewer reads, another user gets nothing", async () => {
        const ann = await signIn(viewer);
        const bob = await signIn(operator);
        const status = await ask(ann, "status");
        assert.equal(status.status, 200);
        assert.equal(typeof status.body.sentence, "string");
        const refused = await ask(ann, "jobs/system-health/pause", { reason: "a release" });
        assert.deepEqual([refused.status, refused.body.error.code], [403, "forbidden"]);
        assert.match(refused.body.error.message, /viewer@example\.com is a viewer/);
        const done = await ask(bob, "jobs/system-health/pause", { reason: "a release" });
        assert.equal(done.status, 200, JSON.stringify(done.body));
        const rows = await sql`select author, reason from scheduler_audit where verb = 'pause'`;
        assert.deepEqual(rows.map((row) => ({ ...row })), [{
          author: "operator@example.com",
          reason: "a release",
        }]);
        const other = await ask(await signIn(stranger), "status");
        assert.deepEqual([other.status, other.body.error.code], [403, "forbidden"]);
        assert.match(other.body.error.hint, new RegExp(`add_operator\\('${stranger.id}'`));
      });

      await test.step("a right that is taken away is gone at the next call, with the same token", async () => {
        const bob = await signIn(operator);
        assert.equal((await ask(bob, "jobs/system-health/resume", { reason: "over" })).status, 200);
        await sql`select scheduler.add_operator(${operator.id}, 'viewer', ${operator.email}, 'off duty', 'carl')`;
        assert.equal((await ask(bob, "jobs/system-health/pause", { reason: "again" })).status, 403);
        assert.equal((await ask(bob, "status")).status, 200);
        await sql`select scheduler.remove_operator(${operator.id}, 'left', 'carl')`;
        assert.equal((await ask(bob, "status")).status, 403);
      });

      await test.step("a viewer's MCP client reads, and has no tool that acts", async () => {
        const { session } = await signIn(viewer);
        const mcp = new Client({ name: "test", version: "1" });
        await mcp.connect(
          new StreamableHTTPClientTransport(new URL(`${apiUrl}/functions/v1/cron/mcp`), {
            requestInit: { headers: { authorization: `Bearer ${session.access_token}` } },
          }),
        );
        const { tools } = await mcp.listTools();
        assert.ok(tools.every(({ annotations }) => annotations!.readOnlyHint));
        const { content: [part], isError } = await mcp.callTool({
          name: "explain",
          arguments: { job: "system-health" },
        });
        assert.ok(!isError && part?.type === "text");
        assert.match(JSON.parse(part.text).sentence, /system-health/);
        await mcp.close();
      });

      await test.step("a wrong password, an unknown user and an unknown refresh token are refused as by the real server", async () => {
        const cases: [Record<string, string>, number, string, string][] = [
          [
            { ...viewer, password: "wrong" },
            400,
            "invalid_credentials",
            "Invalid login credentials",
          ],
          [
            { ...viewer, email: "nobody@example.com" },
            400,
            "invalid_credentials",
            "Invalid login credentials",
          ],
          [{ ...viewer, email: "" }, 400, "validation_failed", "missing email or phone"],
        ];
        for (const [{ email, password }, status, code, message] of cases) {
          const { error } = await client().auth.signInWithPassword({
            email: email!,
            password: password!,
          });
          assert.deepEqual([error!.status, error!.code, error!.message], [status, code, message]);
        }
        const { error } = await client().auth.refreshSession({ refresh_token: "unknown" });
        assert.deepEqual([error!.status, error!.code], [400, "refresh_token_not_found"]);
      });

      await test.step("a session is refreshed and ended, and a refresh token is good for once", async () => {
        const { supabase, session } = await signIn(viewer);
        const { data } = await supabase.auth.refreshSession();
        assert.notEqual(data.session!.refresh_token, session.refresh_token);
        assert.equal((await supabase.auth.getUser()).data.user!.email, viewer.email);
        await supabase.auth.refreshSession();
        const used = await client().auth.refreshSession({ refresh_token: session.refresh_token });
        assert.equal(used.error!.code, "refresh_token_already_used");

        const again = await signIn(viewer);
        assert.equal((await again.supabase.auth.signOut()).error, null);
        const ended = await client().auth.getUser(again.session.access_token);
        // What supabase-js makes of session_not_found.
        assert.equal(ended.error!.name, "AuthSessionMissingError");
        const forged = await client().auth.getUser(`${again.session.access_token}x`);
        assert.deepEqual([forged.error!.status, forged.error!.code], [403, "bad_jwt"]);
      });

      await test.step("supabase-js finds the token good by the published key", async () => {
        const { supabase } = await signIn(viewer);
        const { data, error } = await supabase.auth.getClaims();
        assert.equal(error, null);
        assert.deepEqual(
          [data!.header.alg, data!.claims.iss, data!.claims.aud, data!.claims.role],
          ["ES256", `${apiUrl}/auth/v1`, "authenticated", "authenticated"],
        );
      });

      await test.step("who sends no API key is told so, except for the published keys", async () => {
        const token = await fetch(`${apiUrl}/auth/v1/token?grant_type=password`, {
          method: "POST",
        });
        assert.deepEqual([token.status, (await token.json()).message], [
          401,
          "No API key found in request",
        ]);
        const jwks = await fetch(`${apiUrl}/auth/v1/.well-known/jwks.json`);
        const [key] = (await jwks.json()).keys;
        assert.deepEqual([jwks.status, key.alg, key.d], [200, "ES256", undefined]);
        const old = await fetch(`${apiUrl}/auth/v1/token?grant_type=sms`, {
          method: "POST",
          headers: { apikey: keys.publishableKey },
        });
        assert.deepEqual(await old.json(), {
          code: 400,
          error_code: "invalid_credentials",
          msg: "unsupported_grant_type",
        });
      });

      await test.step("a browser's question passes the gateway", async () => {
        const question = (origin: string, path: string) =>
          fetch(apiUrl + path, {
            method: "OPTIONS",
            headers: { origin, "access-control-request-method": "GET" },
          });
        const listed = await question("https://console.example.com", "/functions/v1/cron/status");
        assert.deepEqual([listed.status, listed.headers.get("access-control-allow-origin")], [
          204,
          "https://console.example.com",
        ]);
        const other = await question("https://evil.test", "/functions/v1/cron/status");
        assert.deepEqual([other.status, other.headers.get("access-control-allow-origin")], [
          401,
          null,
        ]);
        await other.body?.cancel();
        const signingIn = await question("https://console.example.com", "/auth/v1/token");
        assert.deepEqual([signingIn.status, signingIn.headers.get("access-control-allow-origin")], [
          204,
          "*",
        ]);
        const job = await question("https://console.example.com", "/functions/v1/system-health");
        assert.equal(job.headers.get("access-control-allow-origin"), null);
        await job.body?.cancel();
      });
    },
  ));
