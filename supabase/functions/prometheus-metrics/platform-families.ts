import type { Family } from "./exposition.ts";
import type { PlatformReading } from "./reading.ts";

/** So that each status has its series from the start. */
const noOccurrences = { completed: 0, dead: 0, cancelled: 0, missed: 0 };
const keyStatuses = [
  "unchecked",
  "valid",
  "invalid",
  "expiring",
  "rate_limited",
  "unreachable",
  "not_configured",
];

/** The metrics of what the other jobs keep: actions, API keys, failing code. */
export function platformFamilies(platform: PlatformReading): Family[] {
  const gauge = (name: string, value: number, help: string): Family => ({
    name,
    type: "gauge",
    help,
    samples: [{ value }],
  });
  return [
    gauge(
      "scheduled_actions_waiting",
      platform.actions_waiting,
      "Scheduled actions that are still to be executed, later or again.",
    ),
    gauge(
      "scheduled_actions_overdue_seconds",
      platform.actions_overdue_seconds,
      "Since the oldest of the waiting actions was to be tried; 0 when none is due.",
    ),
    {
      name: "scheduled_action_occurrences_by_status",
      type: "gauge",
      help: "Occurrences of scheduled actions that ended in the last hour, by how.",
      samples: Object.entries({ ...noOccurrences, ...platform.occurrences_by_status }).map((
        [status, value],
      ) => ({ labels: { status }, value })),
    },
    {
      name: "api_key_status",
      type: "gauge",
      help: "1 for the status that the API key had when it was checked last, 0 for the others.",
      samples: platform.api_keys.flatMap(([provider, key_name, is]) =>
        keyStatuses.map((status) => ({
          labels: { provider, key_name, status },
          value: status === is ? 1 : 0,
        }))
      ),
    },
    {
      name: "api_key_expires_in_seconds",
      type: "gauge",
      help:
        "Until the API key expires, negative after that; absent when its provider does not say.",
      samples: platform.api_keys.flatMap(([provider, key_name, , value]) =>
        value === null ? [] : [{ labels: { provider, key_name }, value }]
      ),
    },
    gauge(
      "code_failure_causes_open",
      platform.open_code_failure_causes,
      "Causes of failing Python code for which there is no proposal of a fix yet.",
    ),
    gauge(
      "code_fix_proposals_pending",
      platform.pending_code_fix_proposals,
      "Proposals of a fix that wait for a person.",
    ),
  ];
}
