import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import type { Day } from "./day.ts";

const count = z.number().int().nonnegative();

const activity = z.object({
  /** Those that are enabled and not gone. */
  repositories: count,
  with_figures: count,
  gone: z.array(z.string()),
  /** `total` is null when it is known of none; `at_least`: not every page was read. */
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
  /** The day's device metrics are there. */
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

const answer = z.object({ activity, infrastructure, warning_below_score: z.json() });

export type Figures = {
  activity: z.infer<typeof activity>;
  infrastructure: z.infer<typeof infrastructure>;
};

const defaultWarningBelow = 40;

/** The figures of a day, and below which overall score a person is warned; a setting that makes no sense is said. */
export async function readFigures(
  { db, signal }: Pick<JobContext, "db" | "signal">,
  day: Day,
): Promise<{ figures: Figures; warningBelow: number; problems: string[] }> {
  const { data, error } = await db.rpc("ecosystem_figures", {
    p_day: day.name,
  }).abortSignal(signal);
  if (error) throw error;
  const { warning_below_score, ...figures } = answer.parse(data);
  const setting = z.number().min(0).max(100).safeParse(warning_below_score);
  return {
    figures,
    warningBelow: setting.data ?? defaultWarningBelow,
    problems: setting.success ? [] : [
      `setting ecosystem.warning_below_score is ignored, ${defaultWarningBelow} holds: it must be a number from 0 to 100, got ${
        JSON.stringify(warning_below_score).slice(0, 80)
      }`,
    ],
  };
}
