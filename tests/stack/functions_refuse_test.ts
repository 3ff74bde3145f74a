import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { deployedJobs } from "../support/deployed-functions.ts";
import { malformedBody } from "../support/malformed-bodies.ts";
import { seededRandom } from "../support/random.ts";
import { withStack } from "../support/stack.ts";

const PREVIOUS_SECRET = "the-cron-secret-before-it-was-rotated-0123";
const METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/** What a function asks for at least; most ask for nothing. */
const LEAST_INPUT: Record<string, Record<string, unknown>> = {
  "autonomous-code-fixer": { causeId: 1 },
};

async function countRuns(sql: Sql): Promise<number> {
  const [row] = await sql`select count(*)::int as count from scheduler_runs`;
  return row!.count;
}

Deno.test("every job refuses", async (test) => {
  const names = await deployedJobs();
  assert.ok(names.length >= 2, "there are jobs to ask");
  const env = { CRON_SECRET_PREVIOUS: PREVIOUS_SECRET };
  await withStack({ cron: false, env }, async ({ apiUrl, sql, keys }) => {
    const call = (name: string, init: RequestInit) => fetch(`${apiUrl}/functions/v1/${name}`, init);
    const refusal = async (name: string, init: RequestInit, status: number, code: string) => {
      const response = await call(name, init);
      const text = await response.text();
      const what = `${name} ${init.method} ${JSON.stringify(init.headers)}: ${text}`;
      assert.equal(response.status, status, what);
      if (init.method !== "HEAD") assert.equal(JSON.parse(text).error.code, code, what);
      return { headers: response.headers, message: text };
    };
    const authorized = { "x-cron-secret": keys.cronSecret };
    const before = await countRuns(sql);

    const withoutCredential: Record<string, string>[] = [
      {},
      { "x-manual-call": "true" },
      { "x-run-id": crypto.randomUUID(), "x-job-name": names[0]!, "x-attempt": "1" },
      { "x-run-id": "garbage", "x-manual-call": "TRUE" },
      { "x-cron-secret": "" },
      { "x-cron-secret": keys.cronSecret.slice(0, -1) },
      { "x-cron-secret": `${keys.cronSecret}x` },
      { "x-cron-secret": keys.cronSecret.toUpperCase() },
      { "x-cron-secret": keys.secretKey },
      { apikey: "garbage" },
      { apikey: keys.cronSecret },
      { apikey: keys.publishableKey },
      { apikey: keys.anonKey, authorization: `Bearer ${keys.anonKey}` },
      { authorization: "Bearer garbage" },
      { authorization: `Basic ${btoa(`x:${keys.cronSecret}`)}` },
      { authorization: keys.cronSecret },
      { authorization: `Bearer ${keys.serviceRoleKey.split(".").slice(0, 2).join(".")}.` },
    ];
    for (const name of names) {
      await test.step(`${name}: 401 without a credential, whatever the method and the body`, async () => {
        const bodies = [undefined, "{}", '{"unknown": 1}', "garbage", "x".repeat(300_000)];
        for (const headers of withoutCredential) {
          for (const method of METHODS) {
            for (const body of method === "GET" || method === "HEAD" ? [undefined] : bodies) {
              // All look by the same few lines: one is asked everything in every way, the others each thing in one.
              const plain = method === "POST" && body === "{}" || headers === withoutCredential[0];
              if (name !== names[0] && !plain) continue;
              await refusal(
                name,
                { method, headers, ...(body ? { body } : {}) },
                401,
                "unauthorized",
              );
            }
          }
        }
      });

      await test.step(`${name}: each credential gets past the door, and no further with a bad body`, async () => {
        for (
          const headers of [
            authorized,
            { "x-cron-secret": PREVIOUS_SECRET },
            { authorization: `Bearer ${keys.cronSecret}` },
            { authorization: `bearer ${keys.secretKey}` },
            { apikey: keys.secretKey },
            { apikey: keys.serviceRoleKey },
            { authorization: `Bearer ${keys.serviceRoleKey}`, apikey: keys.publishableKey },
          ]
        ) {
          const init = { method: "POST", headers, body: '{"unknown": 1}' };
          const { message } = await refusal(name, init, 400, "invalid_input");
          assert.match(message, /unknown/, "it names the field");
        }
      });

      await test.step(`${name}: 405 for every method but POST, 413 over 256 KiB, 400 for a run id that is none`, async () => {
        for (const method of METHODS.filter((method) => method !== "POST")) {
          const { headers } = await refusal(
            name,
            { method, headers: authorized },
            405,
            "method_not_allowed",
          );
          assert.equal(headers.get("allow"), "POST");
        }
        const body = (bytes: number) => JSON.stringify({ unknown: "x".repeat(bytes - 14) });
        const post = { method: "POST", headers: authorized };
        await refusal(name, { ...post, body: body(256 * 1024 + 1) }, 413, "body_too_large");
        await refusal(name, { ...post, body: body(256 * 1024) }, 400, "invalid_input");
        for (const id of ["1", "garbage", "00000000-0000-0000-0000-00000000000g"]) {
          const headers = { ...authorized, "x-run-id": id };
          await refusal(name, { method: "POST", headers }, 400, "invalid_input");
        }
        const headers = { ...authorized, "x-run-id": crypto.randomUUID() };
        const least = JSON.stringify(LEAST_INPUT[name] ?? {});
        await refusal(name, { method: "POST", headers, body: least }, 409, "run_refused");
      });

      // All read their body by the same few lines: one of them gets them all.
      const malformed = name === names[0] ? 1000 : 20;
      await test.step(`${name}: ${malformed} malformed bodies are as many times 4xx`, async () => {
        const random = seededRandom(20260301);
        const bodies = Array.from({ length: malformed }, () => malformedBody(random));
        const ask = async () => {
          for (let body = bodies.pop(); body; body = bodies.pop()) {
            const response = await call(name, { method: "POST", headers: authorized, body });
            const text = await response.text();
            const what = `${response.status} ${text} for ${
              new TextDecoder().decode(body.slice(0, 200))
            }`;
            assert.ok([400, 413].includes(response.status), what);
            assert.ok(typeof JSON.parse(text).error.message === "string", what);
          }
        };
        await Promise.all([ask(), ask(), ask(), ask()]);
      });
    }
    assert.equal(await countRuns(sql), before, "no run was begun");
  });
});

Deno.test("a bare x-manual-call is let in on loopback, where that is allowed, by that header alone", () =>
  withStack(
    { cron: false, env: { ALLOW_UNAUTHENTICATED_MANUAL_CALLS: "true" } },
    async ({ apiUrl, sql }) => {
      for (const name of await deployedJobs()) {
        const status = async (headers: Record<string, string>) => {
          const init = { method: "POST", headers, body: '{"unknown": 1}' };
          const response = await fetch(`${apiUrl}/functions/v1/${name}`, init);
          await response.body?.cancel();
          return response.status;
        };
        assert.equal(await status({ "x-manual-call": "true" }), 400);
        assert.equal(await status({ "x-manual-call": "false" }), 401);
        assert.equal(await status({ "x-manual-call": "1" }), 401);
        assert.equal(await status({ "x-run-id": crypto.randomUUID() }), 401);
        assert.equal(await statusForHost(apiUrl, name, "evil.example"), 403);
        assert.equal(await statusForHost(apiUrl, name, "localhost"), 400);
      }
      assert.equal(await countRuns(sql), 0);
    },
  ));

/** As a browser asks that was made to take 127.0.0.1 for somebody else's name. */
async function statusForHost(apiUrl: string, name: string, host: string): Promise<number> {
  const { hostname, port } = new URL(apiUrl);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const body = '{"unknown": 1}';
  const lines = [
    `POST /functions/v1/${name} HTTP/1.1`,
    `host: ${host}:${port}`,
    "x-manual-call: true",
    "connection: close",
    `content-length: ${body.length}`,
    "",
    body,
  ];
  await connection.write(new TextEncoder().encode(lines.join("\r\n")));
  const answer = await new Response(connection.readable).text();
  return Number(answer.split(" ")[1]);
}
