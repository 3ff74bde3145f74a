import { componentTests, device, deviceId, repeat } from "../../support/system-health.ts";

componentTests("devices", [
  ["devices are at work", device, "healthy", { metrics_behind_seconds: 0 }],
  [
    "half of those seen in a week were seen today",
    devicesSeen(3, "1 hour") + devicesSeen(3, "2 days"),
    "healthy",
    { seen_percent: 50 },
  ],
  [
    "fewer than half of them were seen today",
    devicesSeen(3, "1 hour") + devicesSeen(4, "2 days"),
    "degraded",
    { seen_percent: 42.9 },
  ],
  [
    "hardly any of them was seen today",
    devicesSeen(1, "1 hour") + devicesSeen(5, "2 days"),
    "critical",
    { seen_percent: 16.7 },
  ],
  [
    "devices of long ago, suspended and retired ones do not count",
    devicesSeen(5, "1 hour") + devicesSeen(90, "8 days") +
    devicesSeen(50, "2 days", "retired") + devicesSeen(50, "2 days", "suspended"),
    "healthy",
    { seen_percent: 100 },
  ],
  ["four devices are too few for a share", devicesSeen(4, "2 days"), "healthy", {
    seen_percent: NaN,
  }],
  [
    "sessions that beat 45 minutes ago may still be ended in time",
    device + openSessions(10, "45 minutes"),
    "healthy",
    { silent_sessions_percent: 0 },
  ],
  [
    "one session in ten has fallen silent",
    device + openSessions(9, "1 minute") + openSessions(1, "45 minutes 1 second"),
    "degraded",
    { silent_sessions_percent: 10 },
  ],
  [
    "half of the sessions have fallen silent",
    device + openSessions(5, "1 minute") + openSessions(5, "46 minutes"),
    "critical",
    { silent_sessions_percent: 50 },
  ],
  [
    "4.9 % of the reported events are errors",
    device + summary("2 hours", 1000, 49),
    "healthy",
    { error_events_percent: 4.9 },
  ],
  [
    "5 % of the reported events are errors",
    device + summary("2 hours", 1000, 50),
    "degraded",
    { error_events_percent: 5 },
  ],
  [
    "a fifth of the reported events are errors",
    device + summary("2 hours", 500, 150) + summary("3 hours", 500, 50),
    "critical",
    { error_events_percent: 20 },
  ],
  [
    "errors of two days ago are past",
    device + summary("2 hours", 1000, 0) + summary("48 hours", 1000, 900),
    "healthy",
    { error_events_percent: 0 },
  ],
  [
    "the last full hour is summarized",
    device + summary("1 hour", 1, 0),
    "healthy",
    { metrics_behind_seconds: 0 },
  ],
  [
    "two hours are not summarized",
    device + summary("3 hours", 1, 0),
    "degraded",
    { metrics_behind_seconds: 7200 },
  ],
  [
    "six hours are not summarized",
    device + summary("7 hours", 1, 0),
    "critical",
    { metrics_behind_seconds: 21_600 },
  ],
  [
    "nothing was seen, so nothing is behind",
    devicesSeen(1, "3 days") + summary("5 hours", 1, 0),
    "healthy",
    { metrics_behind_seconds: 0 },
  ],
  [
    "the metrics died nine days ago",
    device + registered("30 days") + summary("9 days", 1, 0) + metricsListedUntil("9 days"),
    "critical",
    { metrics_behind_seconds: 8 * 86_400 },
  ],
  [
    "the metrics never ran, and devices were there all the time",
    device + registered("6 hours") + metricsListedUntil("7 hours"),
    "critical",
    { metrics_behind_seconds: 21_600 },
  ],
  [
    "the metrics list their hours and never compute them",
    device + registered("30 days") + pendingHour("20 hours") + pendingHour("1 hour"),
    "critical",
    { metrics_behind_seconds: 20 * 3600 },
  ],
  [
    "the metrics never ran, and the first device came an hour ago",
    device + registered("1 hour") + metricsListedUntil("30 days"),
    "healthy",
    { metrics_behind_seconds: 3600 },
  ],
  [
    "the metrics were installed within this hour, among old devices",
    device + registered("30 days") + metricsListedUntil("0 hours"),
    "healthy",
    { metrics_behind_seconds: 0 },
  ],
  [
    "the metrics died nine days ago, and so did the devices",
    devicesSeen(1, "10 days") + registered("30 days") + metricsListedUntil("9 days"),
    "healthy",
    { metrics_behind_seconds: 0 },
  ],
]);

function devicesSeen(count: number, ago: string, status = "offline"): string {
  return repeat(
    count,
    `insert into devices (device_fingerprint, status, last_seen_at)
     select gen_random_uuid()::text, '${status}', now() - interval '${ago}'`,
  );
}

function openSessions(count: number, beat: string): string {
  return repeat(
    count,
    `insert into device_connection_sessions (device_id, connected_at, last_heartbeat_at)
     select ${deviceId}, now() - interval '3 hours', now() - interval '${beat}'`,
  );
}

function registered(ago: string): string {
  return `update devices set registered_at = now() - interval '${ago}';\n`;
}

/** The last run listed the hours until this one; where there was none, this is when the metrics were installed. */
function metricsListedUntil(ago: string): string {
  return `update devices.metrics_state set next_hour = date_trunc('hour', now()) - interval '${ago}';\n`;
}

function pendingHour(ago: string): string {
  return `insert into devices.metrics_periods (granularity, period_start)
    values ('hour', date_trunc('hour', now()) - interval '${ago}');\n`;
}

function summary(ago: string, events: number, errors: number): string {
  return `insert into device_metrics_summary (granularity, period_start, activity_events, activity_errors)
    values ('hour', date_trunc('hour', now()) - interval '${ago}', ${events}, ${errors});\n`;
}
