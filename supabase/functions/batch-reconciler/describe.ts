import { z } from "zod";
import type { JsonObject } from "../../../shared/job/define-job.ts";

/** What `resume_stuck_batch_job` did; its comment in the database says what each action means. */
export const told = z.object({
  job_id: z.string(),
  action: z.enum([
    "over",
    "ended",
    "none",
    "alive",
    "waits",
    "resumed",
    "gave_up",
  ]),
  status: z.string(),
  /** Tasks of expired leases. */
  freed: z.int(),
  /** Tasks that failed because the batch job was given up. */
  failed: z.int(),
  resumes: z.int(),
  /** Tasks that are open now. */
  open: z.int(),
});

export type Told = z.output<typeof told>;

/** The run's result: "2 batch jobs resumed, 1 given up", and what was done about each. */
export function describe(
  jobs: readonly Told[],
  moreIsLeft: boolean,
): JsonObject & {
  summary: string;
} {
  const count = (action: Told["action"]) => jobs.filter((job) => job.action === action).length;
  const [resumed, ended, gaveUp] = [
    count("resumed"),
    count("ended"),
    count("gave_up"),
  ];
  const parts = [
    [resumed, "resumed"] as const,
    [gaveUp, "given up"] as const,
    [ended, "ended"] as const,
  ].filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`);
  const nothing = jobs.length === 0 && moreIsLeft
    ? "there was no time for a batch job"
    : "no batch job is stuck";
  const summary = parts.length === 0 ? nothing : `batch jobs: ${parts.join(", ")}`;
  return {
    summary: moreIsLeft ? `${summary}; more are left for the next run` : summary,
    resumed,
    ended,
    gaveUp,
    notStuck: jobs.length - resumed - ended - gaveUp,
    freedTasks: jobs.reduce((sum, job) => sum + job.freed, 0),
    moreIsLeft,
    jobs: jobs.map(({ job_id, ...job }) => ({ batchJobId: job_id, ...job })),
    ...(gaveUp > 0 ? { notable: "error" } : resumed > 0 ? { notable: "warning" } : {}),
  };
}
