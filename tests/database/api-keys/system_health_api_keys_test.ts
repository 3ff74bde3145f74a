import { componentTests } from "../../support/system-health.ts";

componentTests("api_keys", [
  ["keys are valid", key("a", "valid"), "healthy", { unusable_keys: 0, most_failures: 0 }],
  ["a key is invalid", key("a", "valid") + key("b", "invalid"), "critical", { unusable_keys: 1 }],
  ["a key expired this moment", key("a", "valid", "expires_at = now()"), "critical", {
    unusable_keys: 1,
  }],
  [
    "a key expires in 14 days",
    key("a", "valid", "expires_at = now() + interval '336 hours'"),
    "healthy",
    {
      expires_in_seconds: 1_209_600,
    },
  ],
  [
    "a key expires within 14 days",
    key("a", "expiring", "expires_at = now() + interval '335 hours'"),
    "degraded",
    {
      expires_in_seconds: 1_206_000,
    },
  ],
  [
    "a key expires within 3 days",
    key("a", "expiring", "expires_at = now() + interval '71 hours'"),
    "critical",
    {
      expires_in_seconds: 255_600,
    },
  ],
  ["a key never expires", key("a", "valid", "expires_at = 'infinity'"), "healthy", {
    expires_in_seconds: NaN,
  }],
  ["a provider is unreachable", key("a", "unreachable"), "degraded", { troubled_keys: 1 }],
  ["a provider limits us", key("a", "rate_limited"), "degraded", { troubled_keys: 1 }],
  ["two failures in a row", key("a", "valid", "consecutive_failures = 2"), "healthy", {
    most_failures: 2,
  }],
  ["three failures in a row", key("a", "valid", "consecutive_failures = 3"), "degraded", {
    most_failures: 3,
  }],
  ["ten failures in a row", key("a", "valid", "consecutive_failures = 10"), "critical", {
    most_failures: 10,
  }],
  ["a tenth of the rate limit is left", key("a", "valid", left(10)), "healthy", {
    rate_limit_left_percent: 10,
  }],
  ["less than a tenth is left", key("a", "valid", left(9)), "degraded", {
    rate_limit_left_percent: 9,
  }],
  ["nothing is left", key("a", "valid", left(0)), "critical", { rate_limit_left_percent: 0 }],
  [
    "a limit that was reset since is no limit",
    key("a", "valid", left(0, "-1 minute")),
    "healthy",
    {
      rate_limit_left_percent: NaN,
    },
  ],
  [
    "a provider that allows nothing at all is not divided by",
    key(
      "a",
      "valid",
      "rate_limit = 0, rate_limit_remaining = 0, rate_limit_resets_at = now() + interval '1 hour'",
    ),
    "healthy",
    {},
  ],
  [
    "two checks were missed",
    key("a", "valid", "checked_at = now() - interval '13 hours'"),
    "degraded",
    {
      check_age_seconds: 46_800,
    },
  ],
  [
    "two days were missed",
    key("a", "valid", "checked_at = now() - interval '49 hours'"),
    "critical",
    {
      check_age_seconds: 176_400,
    },
  ],
  [
    "a key that is not configured is no trouble",
    key("a", "not_configured", "consecutive_failures = 99"),
    "healthy",
    {},
  ],
]);

function key(provider: string, status: string, set = "updated_at = now()"): string {
  return `insert into api_key_health (provider, status, checked_at) values ('${provider}', '${status}', now());
    update api_key_health set ${set} where provider = '${provider}';\n`;
}

function left(remaining: number, resetsIn = "1 hour"): string {
  return `rate_limit = 100, rate_limit_remaining = ${remaining}, rate_limit_resets_at = now() + interval '${resetsIn}'`;
}
