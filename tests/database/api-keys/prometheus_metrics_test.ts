import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";
import { readSamples } from "../../support/exposed-metrics.ts";
import { after, NOON } from "../../support/scheduler.ts";

const STATUSES = [
  "unchecked",
  "valid",
  "invalid",
  "expiring",
  "rate_limited",
  "unreachable",
  "not_configured",
];

Deno.test("a scrape shows each API key's status as 1, and until when it holds", () =>
  withDatabase(async ({ sql }) => {
    const keys = async () =>
      Object.fromEntries(
        [...await readSamples(sql, NOON)].filter(([name]) => /^api_key/.test(name)),
      );
    assert.deepEqual(await keys(), {});
    await sql`
      insert into api_key_health (provider, key_name, status, expires_at) values
        ('openai', 'default', 'not_configured', null), ('github', 'ci "bot"', 'expiring', ${
      after(24 * 60)
    }),
        ('github', 'old', 'invalid', ${after(-1)}), ('deepseek', 'default', 'valid', 'infinity')`;
    const expected: Record<string, number> = {};
    for (
      const [provider, key, is] of [
        ["deepseek", "default", "valid"],
        ["github", 'ci \\"bot\\"', "expiring"],
        ["github", "old", "invalid"],
        ["openai", "default", "not_configured"],
      ]
    ) {
      for (const status of STATUSES) {
        expected[`api_key_status{provider="${provider}",key_name="${key}",status="${status}"}`] =
          status === is ? 1 : 0;
      }
    }
    expected['api_key_expires_in_seconds{provider="github",key_name="ci \\"bot\\""}'] = 86_400;
    expected['api_key_expires_in_seconds{provider="github",key_name="old"}'] = -60;
    assert.deepEqual(await keys(), expected);
  }));

Deno.test("a scrape knows each status that an API key can have", () =>
  withDatabase(async ({ sql }) => {
    const [check] = await sql`
      select pg_get_constraintdef(oid) as definition from pg_constraint
      where conrelid = 'api_key_health'::regclass and conname = 'api_key_health_status_check'`;
    const allowed = [...check!.definition.matchAll(/'(\w+)'/g)].map((match) => match[1]);
    assert.deepEqual(allowed.sort(), [...STATUSES].sort());
  }));

Deno.test("a scrape shows the first 100 API keys", () =>
  withDatabase(async ({ sql }) => {
    await sql`
      insert into api_key_health (provider, status)
      select 'provider' || lpad(n::text, 3, '0'), 'valid' from generate_series(1, 101) as n`;
    const providers = new Set(
      [...(await readSamples(sql)).keys()].flatMap((name) =>
        /^api_key_status\{provider="(\w+)"/.exec(name)?.[1] ?? []
      ),
    );
    assert.equal(providers.size, 100);
    assert.ok(providers.has("provider100") && !providers.has("provider101"));
  }));
