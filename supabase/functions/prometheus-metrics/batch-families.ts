import type { Family } from "./exposition.ts";
import type { BatchesReading } from "./reading.ts";

/** The metrics of the daily batch. */
export function batchFamilies(batches: BatchesReading): Family[] {
  const gauge = (name: string, help: string, samples: Record<string, number>, label?: string) => ({
    name,
    type: "gauge" as const,
    help,
    samples: Object.entries(samples).map(([key, value]) =>
      label === undefined ? { value } : { labels: { [label]: key }, value }
    ),
  });
  return [
    gauge(
      "batch_not_begun_seconds",
      "How long a daily batch has been due that has not begun; 0 when none is.",
      { of: batches.not_begun_seconds },
    ),
    gauge("batch_jobs_open", "Batch jobs that are not over.", { of: batches.open }),
    gauge(
      "batch_oldest_open_seconds",
      "How long the oldest of them has been open; 0 when there is none.",
      { of: batches.oldest_open_seconds },
    ),
    gauge(
      "batch_tasks_by_status",
      "Tasks of the batch jobs that ended in the last 24 hours, by how; cancelled jobs are left out.",
      batches.tasks_by_status,
      "status",
    ),
    gauge(
      "batch_provider_failures_in_row",
      "Calls of the provider that failed, or were told to wait, since it last answered.",
      batches.failures_in_row,
      "provider",
    ),
  ];
}
