import { componentTests, repeat } from "../../support/system-health.ts";

componentTests("agents", [
  ["agents beat", agents(10, "idle", "15 minutes"), "healthy", {
    silent_percent: 0,
    error_percent: 0,
  }],
  ["one in eleven is in error", agents(10, "busy") + agents(1, "error"), "healthy", {
    error_percent: 9.1,
  }],
  ["one in ten is in error", agents(9, "busy") + agents(1, "error"), "degraded", {
    error_percent: 10,
  }],
  ["half are in error", agents(5, "busy") + agents(5, "error"), "critical", {
    error_percent: 50,
  }],
  [
    "one in ten has fallen silent",
    agents(9, "busy") + agents(1, "busy", "15 minutes 1 second"),
    "degraded",
    { silent_percent: 10 },
  ],
  ["half have fallen silent", agents(1, "idle") + agents(1, "idle", "1 hour"), "critical", {
    silent_percent: 50,
  }],
  [
    "those who are away or archived may be silent",
    agents(1, "idle") + agents(9, "offline", "9 days") +
    agents(9, "archived", "9 days"),
    "healthy",
    { silent_percent: 0 },
  ],
  [
    "those who are away or archived do not make a share smaller",
    agents(1, "idle") + agents(1, "error") + agents(49, "offline") + agents(49, "archived"),
    "critical",
    { error_percent: 50 },
  ],
  ["a new agent has not beaten yet", "insert into agents (name) values ('new');", "healthy", {
    silent_percent: 0,
  }],
]);

function agents(count: number, status: string, beat = "1 minute"): string {
  return repeat(
    count,
    `insert into agents (name, status, last_heartbeat_at)
     select gen_random_uuid()::text, '${status}', now() - interval '${beat}'`,
  );
}
