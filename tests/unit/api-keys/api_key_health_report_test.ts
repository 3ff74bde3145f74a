import assert from "node:assert/strict";
import type { KeyCheck } from "../../../supabase/functions/api-key-health-monitor/check-key.ts";
import { providers } from "../../../supabase/functions/api-key-health-monitor/providers.ts";
import { recorded, report } from "../../../supabase/functions/api-key-health-monitor/report.ts";

const now = new Date("2026-03-02T12:00:00Z");
const names = providers.map(({ name }) => name);

/** The report on keys that stand so, each [status, previous status, more]; all others are valid as before. */
function reportOn(
  keys: Record<string, [string, string | null, Record<string, unknown>?]>,
) {
  const found = recorded.parse({
    keys: names.map((provider) => {
      const [status, previous_status, more] = keys[provider] ?? ["valid", "valid"];
      return {
        provider,
        status,
        previous_status,
        status_since: "2026-03-01T00:15:00+00:00",
        consecutive_failures: 0,
        expires_at: null,
        recorded: true,
        ...more,
      };
    }),
    expiring_days: 14,
    left_alone: [],
  });
  const checks = names.map((provider): KeyCheck => ({
    provider,
    status: "valid",
    key_last_four: "x7Qd",
    http_status: 200,
    latency_ms: 5,
    expires_at: null,
    rate_limit: null,
    rate_limit_remaining: null,
    rate_limit_resets_at: null,
    error_message: null,
  }));
  return report(providers, checks, found, now);
}

const inHours = (hours: number) => ({
  expires_at: new Date(now.getTime() + hours * 3_600_000).toISOString(),
});

Deno.test("the summary counts the keys by status and names those in trouble", () => {
  const { summary, notable } = reportOn({
    github: ["expiring", "expiring", inHours(6 * 24 + 5)],
    deepseek: ["unreachable", "unreachable"],
    lovable: ["not_configured", "not_configured"],
  });
  assert.equal(
    summary,
    "5 keys: 2 valid, 1 expiring (GitHub in 6 days), 1 unreachable (DeepSeek), 1 not configured",
  );
  assert.equal(notable, undefined, "nothing has changed");
});

Deno.test("without any key the summary says so", () => {
  const all = Object.fromEntries(
    names.map((name): [string, [string, string | null]] => [name, ["not_configured", null]]),
  );
  const { summary, notable, notConfigured } = reportOn(all);
  assert.equal(summary, "no API key is configured (5 providers)");
  assert.equal(notable, undefined);
  assert.deepEqual(notConfigured, [
    "GITHUB_TOKEN",
    "OPENAI_API_KEY",
    "DEEPSEEK_API_KEY",
    "LOVABLE_API_KEY",
    "ELEVENLABS_API_KEY",
  ]);
});

Deno.test("the time until a key expires is told in days, then in hours", () => {
  const cases: [number, string][] = [
    [14 * 24, "in 14 days"],
    [48, "in 2 days"],
    [47.9, "in 47 hours"],
    [1.5, "in 1 hour"],
    [0.2, "in 1 hour"],
    [-3, "now"],
  ];
  for (const [hours, words] of cases) {
    const { summary } = reportOn({ github: ["expiring", "expiring", inHours(hours)] });
    assert.equal(summary, `5 keys: 4 valid, 1 expiring (GitHub ${words})`);
  }
});

const changes: [string | null, string, string | undefined, string?][] = [
  ["valid", "invalid", "error", "OpenAI is invalid, was valid"],
  [null, "invalid", "error", "OpenAI is invalid"],
  ["unreachable", "invalid", "error", "OpenAI is invalid, was unreachable"],
  ["not_configured", "invalid", "error", "OpenAI is invalid, was not configured"],
  ["unchecked", "expiring", "warning", "OpenAI is expiring"],
  ["valid", "expiring", "warning", "OpenAI is expiring, was valid"],
  ["valid", "unreachable", "warning", "OpenAI is unreachable, was valid"],
  ["expiring", "rate_limited", "warning", "OpenAI is rate limited, was expiring"],
  [null, "unreachable", "warning", "OpenAI is unreachable"],
  ["unreachable", "rate_limited", "warning", "OpenAI is rate limited, was unreachable"],
  ["invalid", "unreachable", "warning", "OpenAI is unreachable, was invalid"],
  ["valid", "not_configured", "warning", "OpenAI is not configured, was valid"],
  ["invalid", "valid", "info", "OpenAI is valid, was invalid"],
  ["expiring", "valid", "info", "OpenAI is valid, was expiring"],
  [null, "valid", undefined],
  ["not_configured", "valid", undefined],
  [null, "not_configured", undefined],
  ["invalid", "not_configured", undefined],
  ["invalid", "invalid", undefined],
  ["unreachable", "unreachable", undefined],
];
for (const [previous, status, notable, words] of changes) {
  Deno.test(`${previous ?? "no row"}, then ${status}: ${notable ?? "nothing"} to tell`, () => {
    const found = reportOn({ openai: [status, previous] });
    assert.equal(found.notable, notable);
    assert.equal(String(found.summary).split("; ")[1], words);
  });
}

Deno.test("the worst change decides the severity, and a check that came too late has none", () => {
  const found = reportOn({
    github: ["valid", "unreachable"],
    openai: ["invalid", "valid"],
    lovable: ["expiring", "valid", inHours(30)],
  });
  assert.equal(found.notable, "error");
  assert.equal(
    found.summary,
    "5 keys: 3 valid, 1 expiring (Lovable in 30 hours), 1 invalid (OpenAI); GitHub is valid, was unreachable; " +
      "OpenAI is invalid, was valid; Lovable is expiring, was valid",
  );
  const late = reportOn({ openai: ["invalid", "valid", { recorded: false }] });
  assert.equal(late.notable, undefined);
});

Deno.test("each key has its figures", () => {
  assert.deepEqual(
    (reportOn({ github: ["expiring", "valid", inHours(24)] }).keys as Record<string, unknown>)
      .github,
    {
      status: "expiring",
      since: "2026-03-01T00:15:00+00:00",
      lastFour: "x7Qd",
      httpStatus: 200,
      latencyMs: 5,
      expiresAt: "2026-03-03T12:00:00.000Z",
      rateLimit: null,
      rateLimitRemaining: null,
      rateLimitResetsAt: null,
      consecutiveFailures: 0,
      error: null,
      recorded: true,
    },
  );
});
