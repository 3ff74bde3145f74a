import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import type { Day } from "./day.ts";

const count = z.number().int().nonnegative();

const activity = z.object({
  /** Repositories that are enabled and not gone. */
  repositories: count,
  with_figures: count,
  gone: z.array(z.string()),
  /** `total` is null when no repository has the figure. `at_least` is true when some pages were not read. */
  figures: z.record(
    z.string(),
    z.object({ total: z.number().nullable(), known: count, at_least: z.boolean() }),
  ),
  busiest: z.array(z.object({
    full_name: z.string(),
    commits: count.nullable(),
    issues_opened: count.nullable(),
    issues_closed: count.nullable(),
    pull_requests_opened: count.nullable(),
    pull_requests_merged: count.nullable(),
    releases: count.nullable(),
    stars_total: count.nullable(),
    stars_gained: z.number().nullable(),
  })),
});

const infrastructure = z.object({
  /** Whether the day's device metrics are computed. */
  computed: z.boolean(),
  active_devices: count.nullable(),
  charging_efficiency_percent: z.number().nullable(),
  energy_wh: z.number().nullable(),
  pop_validated: count.nullable(),
  pop_rejected: count.nullable(),
  commands_completed: count.nullable(),
  commands_failed: count.nullable(),
  commands_expired: count.nullable(),
  hours_computed: count,
  hours_active: count,
  devices: z.object({ in_service: count, online: count, at: z.string() }).nullable(),
});

const answer = z.object({ activity, infrastructure, warning_below_score: z.number() });

export type Figures = {
  activity: z.infer<typeof activity>;
  infrastructure: z.infer<typeof infrastructure>;
};

/** The figures of a day, and the overall score below which the run warns. */
export async function readFigures(
  { db, signal }: Pick<JobContext, "db" | "signal">,
  day: Day,
): Promise<{ figures: Figures; warningBelow: number }> {
  const { data, error } = await db.rpc("ecosystem_figures", {
    p_day: day.name,
  }).abortSignal(signal);
  if (error) throw error;
  const { warning_below_score: warningBelow, ...figures } = answer.parse(data);
  return { figures, warningBelow };
}
