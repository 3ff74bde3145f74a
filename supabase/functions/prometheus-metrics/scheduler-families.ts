import type { Family, HistogramSeries, Sample } from "./exposition.ts";
import type { JobReading, SchedulerReading } from "./reading.ts";

/** Reasons that a dashboard can count on; the others are there once they have occurred. */
const usualReasons = { paused: 0, overlap: 0, queue_full: 0 };

/**
 * The scheduler's own metrics. The label is `job_name`, as the ledger's column: Prometheus puts the name of the scrape
 * job into `job` and would rename ours.
 */
export function schedulerFamilies(reading: SchedulerReading): Family[] {
  const jobs = reading.jobs.map(named);
  /** A sample for each job, or several with a label more. */
  const samples = (of: (job: NamedJob) => number | null | Record<string, number>, label = "") =>
    jobs.flatMap((job): Sample[] => {
      const labels = { job_name: job.name };
      const value = of(job);
      if (value === null) return [];
      if (typeof value === "number") return [{ labels, value }];
      return Object.entries(value).map(([key, value]) => ({
        labels: { ...labels, [label]: key },
        value,
      }));
    });
  const series = (of: (job: NamedJob) => [number[], number]) =>
    jobs.map((job): HistogramSeries => {
      const [counts, sumMs] = of(job);
      return { labels: { job_name: job.name }, counts, sum: sumMs / 1000 };
    });
  const seconds = (bounds: number[]) => bounds.map((ms) => ms / 1000);

  return [
    {
      name: "scheduler_runs_total",
      type: "counter",
      help:
        "Runs that ended, by status; every attempt is a run, and a skipped or missed occurrence " +
        "has one too.",
      samples: samples(
        ({ completed, failed, skipped, missed, cancelled }) => ({
          completed,
          failed,
          skipped,
          missed,
          cancelled,
        }),
        "status",
      ),
    },
    {
      name: "scheduler_run_duration_seconds",
      type: "histogram",
      help: "How long runs took from their beginning to their end, however they ended.",
      bounds: seconds(reading.duration_bounds_ms),
      series: series((job) => [job.durationCounts, job.durationSumMs]),
    },
    {
      name: "scheduler_fire_lag_seconds",
      type: "histogram",
      help: "From an occurrence to the dispatch of its first attempt, counted when that ends.",
      bounds: seconds(reading.fire_lag_bounds_ms),
      series: series((job) => [job.fireLagCounts, job.fireLagSumMs]),
    },
    {
      name: "scheduler_last_success_age_seconds",
      type: "gauge",
      help: "Since the job's last completed run ended; absent before the first.",
      samples: samples((job) => job.lastSuccessAgeSeconds),
    },
    {
      name: "scheduler_occurrences_since_success",
      type: "gauge",
      help: "Occurrences since the last completed run that failed (with all attempts so far) or " +
        "were missed, by status.",
      samples: samples(
        ({ failedInRow, missedInRow }) => ({ failed: failedInRow, missed: missedInRow }),
        "status",
      ),
    },
    {
      name: "scheduler_skipped_total",
      type: "counter",
      help:
        "Occurrences left out on purpose, by reason; misfire reasons are missed ones that the " +
        "misfire policy did not run.",
      samples: samples((job) => ({ ...usualReasons, ...job.leftOut }), "reason"),
    },
    {
      name: "scheduler_missed_total",
      type: "counter",
      help: "Occurrences that nothing fired in time.",
      samples: samples((job) => job.missed),
    },
    {
      name: "scheduler_lost_total",
      type: "counter",
      help: "Runs that were dispatched and of which nothing was heard; they are among the failed.",
      samples: samples((job) => job.lost),
    },
    {
      name: "scheduler_retries_total",
      type: "counter",
      help: "Retries that were dispatched, counted when they end.",
      samples: samples((job) => job.retries),
    },
    {
      name: "scheduler_overdue_seconds",
      type: "gauge",
      help:
        "Since the job's oldest occurrence that has no run yet; 0 when none is due, and while " +
        "the job is paused or disabled.",
      samples: samples((job) => job.overdueSeconds),
    },
    {
      name: "scheduler_job_active",
      type: "gauge",
      help: "1 when the job is enabled and not paused, else 0.",
      samples: samples((job) => job.state === "active" ? 1 : 0),
    },
    {
      name: "scheduler_jobs",
      type: "gauge",
      help: "Registered jobs by state.",
      samples: ["active", "paused", "disabled"].map((state) => ({
        labels: { state },
        value: jobs.filter((job) => job.state === state).length,
      })),
    },
    {
      name: "scheduler_locks_open",
      type: "gauge",
      help: "Locks that are held: jobs with a run from dispatch to end.",
      samples: [{ value: reading.locks_open }],
    },
    {
      name: "scheduler_pulse_age_seconds",
      type: "gauge",
      help: "Since the last pulse; before the first one since the first job was registered.",
      samples: [{ value: reading.pulse_age_seconds }],
    },
    {
      name: "scheduler_pulse_errors",
      type: "gauge",
      help: "Jobs and steps that failed in the last pulse.",
      samples: [{ value: reading.pulse_errors }],
    },
  ];
}

type NamedJob = ReturnType<typeof named>;

function named(job: JobReading) {
  const [name, enabled, paused, overdueSeconds, lastSuccessAgeSeconds, ...counted] = job;
  const [completed, failed, skipped, missed, cancelled, lost, retries, ...rest] = counted;
  const [failedInRow, missedInRow, leftOut, ...histograms] = rest;
  const [durationCounts, durationSumMs, fireLagCounts, fireLagSumMs] = histograms;
  return {
    name,
    state: !enabled ? "disabled" : paused ? "paused" : "active",
    overdueSeconds,
    lastSuccessAgeSeconds,
    completed,
    failed,
    skipped,
    missed,
    cancelled,
    lost,
    retries,
    failedInRow,
    missedInRow,
    leftOut,
    durationCounts,
    durationSumMs,
    fireLagCounts,
    fireLagSumMs,
  };
}
