import { componentTests, device, deviceId, repeat } from "../../support/system-health.ts";

componentTests("pop", [
  [
    "four in five are validated",
    device + events(4, "validated") + events(1, "rejected"),
    "healthy",
    {
      validated_percent: 80,
    },
  ],
  ["fewer are validated", device + events(3, "validated") + events(2, "rejected"), "degraded", {
    validated_percent: 60,
  }],
  [
    "fewer than half are validated",
    device + events(2, "validated") + events(3, "rejected"),
    "critical",
    {
      validated_percent: 40,
    },
  ],
  [
    "what is not decided does not count",
    device + events(5, "validated") + events(50, "pending"),
    "healthy",
    {
      validated_percent: 100,
    },
  ],
  [
    "an event waits for not quite a day",
    device + events(1, "pending", "23 hours 59 minutes 59 seconds"),
    "healthy",
    {
      oldest_pending_seconds: 86_399,
    },
  ],
  ["an event waits for a day", device + events(1, "pending", "24 hours"), "degraded", {
    oldest_pending_seconds: 86_400,
  }],
  ["an event waits for three days", device + events(1, "pending", "72 hours"), "critical", {
    oldest_pending_seconds: 259_200,
  }],
]);

function events(count: number, status: string, ago = "1 hour"): string {
  return repeat(
    count,
    `insert into pop_events_ledger (device_id, event_type, points, status, occurred_at)
     select ${deviceId}, 'sustained_connection', 1, '${status}', now() - interval '${ago}'`,
  );
}
