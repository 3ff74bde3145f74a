import assert from "node:assert/strict";
import type { Sql } from "postgres";
import {
  answerAs,
  apiKeys,
  apis,
  type Behave,
  type Behaviour,
  githubLimits,
  type ProviderName,
  providersEnv,
} from "../support/api-providers.ts";
import { beatUntilIdle, fire, readLog } from "../support/faults.ts";
import { type Reply, withHttpServer } from "../support/http-server.ts";
import { run } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";

/** What the provider says of the whole key, as no real one should. */
const echo = (key: string): Reply => ({
  status: 401,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ error: { message: `No such key: ${key} (${key.slice(0, 12)})` } }),
});

/** All keys are good; GitHub's ends in six days. */
const allGood = (name: ProviderName): "ok" | Reply => {
  if (name !== "github") return "ok";
  const end = new Date(Date.now() + 6.5 * 86_400_000).toISOString().replace("T", " ");
  const expiration = { "github-authentication-token-expiration": `${end.slice(0, 19)} UTC` };
  return { ...apis.github.answers.ok, headers: { ...githubLimits, ...expiration } };
};

/** Sends the job on its way as pg_cron does, with that payload; its run when it is over. */
async function check(sql: Sql, payload: Record<string, unknown> = {}) {
  await sql`
    update scheduler_jobs set payload = ${sql.json(payload as never)}
    where name = 'api-key-health-monitor'`;
  const id = await fire(sql, "api-key-health-monitor");
  await beatUntilIdle(sql);
  const row = await run(sql, id);
  assert.deepEqual([row.status, row.verdict], ["completed", "ok"], row.error_message);
  return row;
}

Deno.test("api-key-health-monitor through the whole stack", async (test) => {
  let behave: Behave = allGood;
  await withHttpServer(answerAs((name) => behave(name)), async (providers) => {
    await withStack({ cron: false, env: providersEnv(providers.url) }, async (stack) => {
      const { sql } = stack;

      await test.step("a provider that is slow delays none of the others", async () => {
        const allAsked = Promise.withResolvers<void>();
        const asked = new Set<string>();
        // Each of them waits until all of them were asked.
        behave = async (name) => {
          if (asked.add(name).size === 5) allAsked.resolve();
          await allAsked.promise;
          return allGood(name);
        };
        const { result } = await check(sql);
        assert.equal(
          result.summary,
          "5 keys: 4 valid, 1 expiring (GitHub in 6 days); GitHub is expiring",
        );
        assert.equal(providers.requests.length, 5);
      });

      await test.step("each finds its own, with one hanging and one that echoes its key", async () => {
        const behaviours: Record<ProviderName, Behaviour | Reply> = {
          github: "hang",
          openai: echo(apiKeys.openai),
          deepseek: "429",
          lovable: "garbage",
          elevenlabs: "ok",
        };
        behave = (name) => behaviours[name];
        const { result } = await check(sql, { timeoutMs: 1_000 });
        assert.equal(
          result.summary,
          "5 keys: 1 valid, 1 rate limited (DeepSeek), 2 unreachable (GitHub, Lovable), 1 invalid (OpenAI); " +
            "GitHub is unreachable, was expiring; OpenAI is invalid, was valid; " +
            "DeepSeek is rate limited, was valid; Lovable is unreachable, was valid",
        );
        const rows = await sql`
          select provider, status, key_last_four, http_status, consecutive_failures as failures, error_message
          from api_key_health where key_name = 'default' order by provider`;
        assert.deepEqual(rows.map((row) => Object.values(row)), [
          ["deepseek", "rate_limited", "8e6a", 429, 1, "rate_limit_error: Rate limit reached"],
          ["elevenlabs", "valid", "5d3f", 200, 0, null],
          ["github", "unreachable", "PiQz", null, 1, "no answer within 1 s"],
          [
            "lovable",
            "unreachable",
            "p0Gf",
            200,
            1,
            "HTTP 200, but the answer is not what Lovable documents",
          ],
          ["openai", "invalid", "p0Su", 401, 1, "No such key: [redacted] [redacted]"],
        ]);
        const [line] = await sql`
          select severity, message from scheduler_activity
          where source = 'api-key-health-monitor' order by id desc limit 1`;
        assert.deepEqual({ ...line }, { severity: "error", message: result.summary });
      });

      await test.step("an unchanged key is not told again, and a key that is good again is", async () => {
        await check(sql, { timeoutMs: 1_000 });
        behave = (name) => name === "github" ? "hang" : "ok";
        const { result } = await check(sql, { timeoutMs: 1_000 });
        const lines = await sql`
          select severity, message from scheduler_activity
          where source = 'api-key-health-monitor' order by id`;
        assert.deepEqual(lines.map((line) => line.severity), ["warning", "error", "info"]);
        assert.equal(lines[2]?.message, result.summary);
        const [github] = await sql`
          select consecutive_failures as failures, expires_at > now() + interval '6 days' as ends
          from api_key_health where provider = 'github'`;
        assert.deepEqual({ ...github }, { failures: 3, ends: true });
      });

      await test.step("the keys are nowhere: no table, no log", async () => {
        const keys = Object.values(apiKeys);
        const tables = await sql`
          select format('%I.%I', nspname, relname) as name
          from pg_class join pg_namespace on pg_namespace.oid = relnamespace
          where relkind in ('r', 'p') and nspname not like 'pg\\_%' and nspname not in ('information_schema', 'vault')`;
        const names = tables.map((row) => row.name);
        for (const name of ["api_key_health", "scheduler_runs", "scheduler_activity"]) {
          assert.ok(names.includes(`public.${name}`), name);
        }
        for (const name of names) {
          const [row] = await sql.unsafe(
            `select coalesce(string_agg(t::text, ' '), '') as text from ${name} as t`,
          );
          assertNone(row!.text, keys, name);
        }
        assertNone(await readLog(stack), keys, "functions.log");
      });
    });
  });
});

/** No key, and no twelve characters of one in a row. */
function assertNone(text: string, keys: string[], where: string): void {
  for (const key of keys) {
    for (let i = 0; i + 12 <= key.length; i++) {
      assert.ok(!text.includes(key.slice(i, i + 12)), `${where} holds a part of a key`);
    }
  }
}
