import { componentTests, device, deviceId, repeat } from "../../support/system-health.ts";

componentTests("commands", [
  ["commands work", device + commands(9, "completed") + commands(2, "failed"), "healthy", {
    failed_percent: 18.2,
  }],
  ["a fifth fails", device + commands(8, "completed") + commands(2, "failed"), "degraded", {
    failed_percent: 20,
  }],
  ["half fails", device + commands(5, "completed") + commands(5, "failed"), "critical", {
    failed_percent: 50,
  }],
  ["a fifth expires", device + commands(8, "completed") + commands(2, "expired"), "degraded", {
    expired_percent: 20,
  }],
  ["half expires", device + commands(5, "completed") + commands(5, "expired"), "critical", {
    expired_percent: 50,
  }],
  ["yesterday's failures are past", device + commands(50, "failed", "24 hours"), "healthy", {}],
  [
    "a command for a device that is away waits by right",
    device + commands(99, "pending", "5 hours"),
    "healthy",
    { undelivered_commands: 0, overdue_commands: 0 },
  ],
  [
    "a connected device was not handed its command",
    device + openSessions(1, "1 minute") + commands(1, "pending", "61 minutes"),
    "degraded",
    { undelivered_commands: 1 },
  ],
  [
    "a suspended device is handed nothing",
    device + "update devices set status = 'suspended';\n" + openSessions(1, "1 minute") +
    commands(1, "pending", "61 minutes"),
    "healthy",
    { undelivered_commands: 0 },
  ],
  [
    "a command that is an hour old is not late yet",
    device + openSessions(1, "1 minute") + commands(1, "pending", "1 hour"),
    "healthy",
    { undelivered_commands: 0 },
  ],
  [
    "fifty commands were not handed over",
    device + openSessions(1, "1 minute") + commands(50, "pending", "61 minutes"),
    "critical",
    { undelivered_commands: 50 },
  ],
  [
    "a command past its time was not marked expired",
    device + commands(1, "pending", "5 hours", "now() - interval '61 minutes'"),
    "degraded",
    { overdue_commands: 1 },
  ],
  [
    "a hundred commands past their time were not marked",
    device + commands(100, "pending", "5 hours", "now() - interval '61 minutes'"),
    "critical",
    { overdue_commands: 100 },
  ],
]);

function openSessions(count: number, beat: string): string {
  return repeat(
    count,
    `insert into device_connection_sessions (device_id, connected_at, last_heartbeat_at)
     select ${deviceId}, now() - interval '3 hours', now() - interval '${beat}'`,
  );
}

function commands(count: number, status: string, ago = "1 hour", expires = "null"): string {
  return repeat(
    count,
    `insert into engagement_commands (device_id, command_type, status, issued_at, expires_at)
     select ${deviceId}, 'sync', '${status}', now() - interval '${ago}', (${expires})::timestamptz`,
  );
}
