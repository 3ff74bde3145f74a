import type { PostgrestError } from "@supabase/supabase-js";
import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { readAnswer } from "../../../shared/read-answer.ts";

const count = z.number().int().nonnegative();
const moment = z.iso.datetime({ offset: true });

const begun = z.object({
  pending_hours: count,
  pending_days: count,
  notes_left: count,
  odd_times: count,
});
const listed = z.object({ from: moment, to: moment, hours: count });
const hourStep = z.object({
  hours: count,
  from: moment.nullable(),
  to: moment.nullable(),
  device_rows: count,
  rows_written: count,
  hours_left: count,
  caught_up_to: moment,
});
const dayStep = z.object({
  days: count,
  device_rows: count,
  rows_written: count,
  days_left: count,
});

export type HourStep = z.output<typeof hourStep>;
/** Hours that begin at or after `from` and before `to`. */
export type Range = { from: string; to: string };

/** A step exceeded its statement timeout. A step with fewer periods may finish in time. */
export class StepTimeoutError extends Error {
  override readonly name = "StepTimeoutError";
}

/** The bounded transactions of a run. supabase/migrations has the function behind each. */
export interface Steps {
  begin(): Promise<z.output<typeof begun>>;
  recompute(from: string, to: string): Promise<z.output<typeof listed>>;
  hours(maximum: number, range?: Range): Promise<HourStep>;
  days(maximum: number, range?: Range): Promise<z.output<typeof dayStep>>;
}

/** @throws StepTimeoutError, PermanentError for arguments that the database refuses, Error for other failures. */
export function createSteps(
  { db, signal }: Pick<JobContext, "db" | "signal">,
): Steps {
  const within = (range?: Range) => range ? { p_from: range.from, p_to: range.to } : {};
  return {
    begin: async () =>
      read(
        "begin",
        begun,
        await db.rpc("aggregate_device_metrics_begin").abortSignal(signal),
      ),
    recompute: async (from, to) =>
      read(
        "recompute",
        listed,
        await db.rpc("aggregate_device_metrics_recompute", {
          p_from: from,
          p_to: to,
        })
          .abortSignal(signal),
      ),
    hours: async (maximum, range) =>
      read(
        "hours",
        hourStep,
        await db.rpc("aggregate_device_metrics_hours", {
          p_max_hours: maximum,
          ...within(range),
        })
          .abortSignal(signal),
      ),
    days: async (maximum, range) =>
      read(
        "days",
        dayStep,
        await db.rpc("aggregate_device_metrics_days", {
          p_max_days: maximum,
          ...within(range),
        })
          .abortSignal(signal),
      ),
  };
}

function read<S extends z.ZodType>(
  step: string,
  schema: S,
  answer: { data: unknown; error: PostgrestError | null },
): z.output<S> {
  const what = `aggregate device metrics (${step})`;
  if (answer.error?.code === "57014") {
    throw new StepTimeoutError(`Cannot ${what}: ${answer.error.message}`);
  }
  return readAnswer(what, schema, answer);
}
