import type { Family } from "./exposition.ts";
import type { FleetReading } from "./reading.ts";

/** So that each status has its series from the start. */
const noCommands = {
  pending: 0,
  sent: 0,
  acknowledged: 0,
  completed: 0,
  failed: 0,
  expired: 0,
  cancelled: 0,
};

/** The metrics of the devices and of what they do. docs/jobs/prometheus-metrics.md says how fresh each one is. */
export function fleetFamilies(fleet: FleetReading): Family[] {
  const one = (type: "counter" | "gauge", name: string, value: number | null, help: string) => ({
    name,
    type,
    help,
    samples: value === null ? [] : [{ value }],
  });
  return [
    one(
      "counter",
      "xmrt_devices_total",
      fleet.devices,
      "Devices ever registered; they are retired, not deleted, when they leave.",
    ),
    one("gauge", "xmrt_devices_active", fleet.active_devices, "Devices whose status is online."),
    one(
      "counter",
      "xmrt_charging_sessions_total",
      fleet.charging_sessions,
      "Charging sessions that began, whatever became of them.",
    ),
    one(
      "gauge",
      "xmrt_charging_efficiency_avg",
      fleet.charging_efficiency_percent,
      "Charging efficiency in percent (0 to 100), weighted by energy, of the 24 hours that were " +
        "summarized last; absent when no energy of them has a known efficiency.",
    ),
    one(
      "counter",
      "xmrt_pop_events_total",
      fleet.pop_events,
      "Proof of participation (PoP) events, whatever their status.",
    ),
    one(
      "gauge",
      "xmrt_pop_events_validated",
      fleet.pop_events_validated,
      "PoP events whose status is validated, of all of xmrt_pop_events_total.",
    ),
    one(
      "gauge",
      "xmrt_pop_events_rejected",
      fleet.pop_events_rejected,
      "PoP events whose status is rejected, of all of xmrt_pop_events_total.",
    ),
    one(
      "counter",
      "xmrt_pop_points_total",
      fleet.pop_points,
      "Points of the validated PoP events.",
    ),
    one("counter", "xmrt_commands_total", fleet.commands, "Engagement commands issued."),
    {
      name: "xmrt_commands_by_status",
      type: "gauge",
      help: "Engagement commands issued in the last 24 hours, by the status they have now.",
      samples: Object.entries({ ...noCommands, ...fleet.commands_by_status }).map(
        ([status, value]) => ({ labels: { status }, value }),
      ),
    },
    one(
      "gauge",
      "xmrt_metrics_age_seconds",
      fleet.summarized_age_seconds,
      "Since the end of the last hour that the sums were taken up to; later rows are counted one by one.",
    ),
  ];
}
