import { componentTests, device, deviceId, repeat } from "../../support/system-health.ts";

componentTests("charging", [
  ["charges of 70 %", device + charges(2, "completed", 70), "healthy", {
    efficiency_percent: 70,
  }],
  ["charges below 70 %", device + charges(2, "completed", 69.9), "degraded", {
    efficiency_percent: 69.9,
  }],
  ["charges below half", device + charges(2, "completed", 49.9), "critical", {
    efficiency_percent: 49.9,
  }],
  [
    "efficiency is weighted by energy",
    device + charges(1, "completed", 90, 900) + charges(1, "completed", 10, 100),
    "healthy",
    { efficiency_percent: 82 },
  ],
  [
    "energy of unknown efficiency does not weigh",
    device + charges(1, "completed", 80) + charges(9, "completed", null),
    "healthy",
    { efficiency_percent: 80 },
  ],
  [
    "a fifth is interrupted",
    device + charges(8, "completed", 90) + charges(2, "interrupted", 90),
    "degraded",
    { interrupted_percent: 20 },
  ],
  [
    "half is interrupted",
    device + charges(5, "completed", 90) + charges(5, "interrupted", 90),
    "critical",
    { interrupted_percent: 50 },
  ],
  [
    "yesterday's charges are past",
    device + charges(9, "interrupted", 10, 100, "25 hours"),
    "healthy",
    {},
  ],
  [
    "open charges that report are alive",
    device + charging(10, "1 hour"),
    "healthy",
    { silent_sessions_percent: 0 },
  ],
  [
    "one open charge in ten has stopped reporting",
    device + charging(9, "1 hour") + charging(1, "61 minutes"),
    "degraded",
    { silent_sessions_percent: 10 },
  ],
  [
    "half of the open charges have stopped reporting",
    device + charging(5, "1 minute") + charging(5, "61 minutes"),
    "critical",
    { silent_sessions_percent: 50 },
  ],
]);

function charges(
  count: number,
  status: string,
  efficiency: number | null,
  energy = 100,
  ago = "2 hours",
): string {
  return repeat(
    count,
    `insert into charging_sessions (device_id, status, started_at, ended_at, energy_wh, efficiency_percent)
     select ${deviceId}, '${status}', now() - interval '${ago}', now() - interval '${ago}' + interval '1 hour', ${energy}, ${efficiency}`,
  );
}

function charging(count: number, reading: string): string {
  return repeat(
    count,
    `insert into charging_sessions (device_id, started_at, last_reading_at)
     select ${deviceId}, now() - interval '2 hours', now() - interval '${reading}'`,
  );
}
