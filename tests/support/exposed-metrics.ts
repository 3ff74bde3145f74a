/** What the exposition can hold, whatever the database holds: every family, with its type, and its labels' names. */
import { batchFamilies } from "../../supabase/functions/prometheus-metrics/batch-families.ts";
import { fleetFamilies } from "../../supabase/functions/prometheus-metrics/fleet-families.ts";
import { platformFamilies } from "../../supabase/functions/prometheus-metrics/platform-families.ts";
import { schedulerFamilies } from "../../supabase/functions/prometheus-metrics/scheduler-families.ts";

const families = [
  ...schedulerFamilies({
    duration_bounds_ms: [],
    fire_lag_bounds_ms: [],
    locks_open: 0,
    pulse_age_seconds: 0,
    pulse_errors: 0,
    jobs: [["job", true, false, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {}, [0], 0, [0], 0]],
  }),
  ...fleetFamilies({
    devices: 0,
    active_devices: 0,
    charging_sessions: 0,
    charging_efficiency_percent: 0,
    pop_events: 0,
    pop_events_validated: 0,
    pop_events_rejected: 0,
    pop_points: 0,
    commands: 0,
    commands_by_status: {},
    summarized_age_seconds: 0,
  }),
  ...platformFamilies({
    actions_waiting: 0,
    actions_overdue_seconds: 0,
    occurrences_by_status: {},
    api_keys: [["provider", "key", "valid", 0]],
    open_code_failure_causes: 0,
    pending_code_fix_proposals: 0,
  }),
  ...batchFamilies({
    not_begun_seconds: 0,
    open: 0,
    oldest_open_seconds: 0,
    tasks_by_status: { completed: 0, failed: 0 },
    failures_in_row: { provider: 0 },
  }),
];

/** By the name of each family: its type, its help, and the names of its labels. */
export const exposedFamilies = new Map(
  families.map((family) => {
    const samples = family.type === "histogram" ? family.series : family.samples;
    const labels = [...new Set(samples.flatMap(({ labels }) => Object.keys(labels ?? {})))];
    return [family.name, { type: family.type, help: family.help, labels }];
  }),
);

/** Every name a query can ask for: histograms have three. */
export const exposedNames = new Set(
  [...exposedFamilies].flatMap(([name, { type }]) =>
    type === "histogram" ? ["_bucket", "_sum", "_count"].map((suffix) => name + suffix) : [name]
  ),
);

/** The names of metrics in a PromQL expression, as they are written: by what ours begin with. */
export function metricsIn(expression: string): string[] {
  return [
    ...expression.matchAll(/\b(?:xmrt|scheduler|scheduled_action|api_key|code|batch)s?_[a-z_]+\b/g),
  ]
    .map((match) => match[0]);
}
