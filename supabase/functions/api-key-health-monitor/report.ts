import { z } from "zod";
import type { JsonObject } from "../../../shared/job/define-job.ts";
import type { KeyCheck } from "./check-key.ts";
import type { Provider } from "./providers.ts";

const status = z.enum([
  "unchecked",
  "valid",
  "expiring",
  "rate_limited",
  "unreachable",
  "invalid",
  "not_configured",
]);
type Status = z.infer<typeof status>;

/** The result of `record_api_key_checks`: the status of each key after the check. */
export const recorded = z.object({
  keys: z.array(z.object({
    provider: z.string(),
    status,
    /** Null for a key that had no row. */
    previous_status: status.nullable(),
    status_since: z.string(),
    consecutive_failures: z.int(),
    expires_at: z.string().nullable(),
    /** False when a check that began later was recorded before this one. */
    recorded: z.boolean(),
  })),
  expiring_days: z.int(),
  left_alone: z.array(z.string()),
});
type Recorded = z.infer<typeof recorded>;
type RecordedKey = Recorded["keys"][number];

/** The severity of a status. An unknown status and a missing key count as no trouble. */
const badness: Record<Status, number> = {
  unchecked: 0,
  not_configured: 0,
  valid: 0,
  expiring: 1,
  rate_limited: 2,
  unreachable: 2,
  invalid: 3,
};

const words: [Status, string][] = [
  ["valid", "valid"],
  ["expiring", "expiring"],
  ["rate_limited", "rate limited"],
  ["unreachable", "unreachable"],
  ["invalid", "invalid"],
  ["not_configured", "not configured"],
];
const wordOf = new Map(words);

/**
 * The run's result: a sentence, the figures of each key, and `notable` when the status of a key has changed since the
 * last check.
 */
export function report(
  providers: readonly Provider[],
  checks: readonly KeyCheck[],
  { keys, left_alone }: Recorded,
  now: Date,
): JsonObject {
  const of = new Map(keys.map((key) => [key.provider, key]));
  const each = providers.flatMap((provider) => {
    const key = of.get(provider.name);
    const check = checks.find((check) => check.provider === provider.name);
    return key === undefined || check === undefined ? [] : [{ provider, key, check }];
  });

  const configured = each.filter(({ key }) => key.status !== "not_configured").length;
  const parts = words.flatMap(([status, word]) => {
    const these = each.filter(({ key }) => key.status === status);
    if (these.length === 0) return [];
    const names = these.map(({ provider, key }) =>
      status === "expiring" ? `${provider.label} ${when(key.expires_at, now)}` : provider.label
    );
    const who = status === "valid" || status === "not_configured" ? "" : ` (${names.join(", ")})`;
    return [`${these.length} ${word}${who}`];
  });
  const changes = each.flatMap(({ provider, key }) => {
    const severity = severityOf(key);
    return severity === undefined ? [] : [{ severity, text: describeChange(provider.label, key) }];
  });
  const sentences = [
    configured === 0
      ? `no API key is configured (${each.length} providers)`
      : `${each.length} keys: ${parts.join(", ")}`,
    ...changes.map(({ text }) => text),
  ];
  const severities = changes.map(({ severity }) => severity);
  const notable = (["error", "warning", "info"] as const)
    .find((severity) => severities.includes(severity));
  return {
    summary: sentences.join("; "),
    ...(notable === undefined ? {} : { notable }),
    keys: Object.fromEntries(
      each.map((
        { provider, key, check },
      ) => [provider.name, figures(key, check)]),
    ),
    notConfigured: each
      .filter(({ key }) => key.status === "not_configured")
      .map(({ provider }) => provider.keyEnv),
    leftAlone: left_alone,
  };
}

function figures(key: RecordedKey, check: KeyCheck): JsonObject {
  return {
    status: key.status,
    since: key.status_since,
    lastFour: check.key_last_four,
    httpStatus: check.http_status,
    latencyMs: check.latency_ms,
    expiresAt: key.expires_at,
    rateLimit: check.rate_limit,
    rateLimitRemaining: check.rate_limit_remaining,
    rateLimitResetsAt: check.rate_limit_resets_at,
    consecutiveFailures: key.consecutive_failures,
    error: check.error_message,
    recorded: key.recorded,
  };
}

/** How notable a change is: a worse status, a key that is gone, or a key that is valid again. */
function severityOf(
  { status, previous_status, recorded }: RecordedKey,
): "error" | "warning" | "info" | undefined {
  const previous = previous_status ?? "unchecked";
  if (!recorded || status === previous) return undefined;
  if (badness[status] > badness[previous]) {
    return status === "invalid" ? "error" : "warning";
  }
  if (status === "valid") return badness[previous] > 0 ? "info" : undefined;
  if (status === "not_configured") {
    return previous === "valid" || previous === "expiring" ? "warning" : undefined;
  }
  // The remaining changes: better but not valid yet, and one trouble replaced by another of the same severity.
  return "warning";
}

function describeChange(
  label: string,
  { status, previous_status }: RecordedKey,
): string {
  const now = wordOf.get(status) ?? status;
  const before = wordOf.get(previous_status ?? "unchecked");
  return before === undefined ? `${label} is ${now}` : `${label} is ${now}, was ${before}`;
}

/** "in 6 days", "in 5 hours", "now". */
function when(expiresAt: string | null, now: Date): string {
  const hours = (Date.parse(expiresAt ?? "") - now.getTime()) / 3_600_000;
  if (!(hours > 0)) return "now";
  const [count, unit] = hours >= 48
    ? [Math.floor(hours / 24), "day"]
    : [Math.max(1, Math.floor(hours)), "hour"];
  return `in ${count} ${unit}${count === 1 ? "" : "s"}`;
}
