import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import type { Input } from "./input.ts";
import { type Range, type Steps, StepTimeoutError } from "./steps.ts";
import { type Figures, summarize } from "./summarize.ts";

/** A run begins no further step when less time than this is left. */
const reserveMs = 10_000;
const firstHours = 6;
const maximumHoursAtOnce = 96;
const daysAtOnce = 7;
/** The target duration of a step: long enough to be worth its overhead, far below its statement timeout. */
const shortStepMs = 1_500;
const longStepMs = 5_000;

export type AggregateContext = Pick<
  JobContext,
  "log" | "signal" | "now" | "remainingMs" | "reportProgress"
>;

/**
 * Computes the periods that are due, or the input's range, step by step. It stops when all are computed, when
 * `input.maxHours` are, or when the time runs out. The database keeps the list of the others for the next run.
 */
export async function aggregate(
  input: Input,
  context: AggregateContext,
  steps: Steps,
): Promise<JsonObject> {
  const figures: Figures = {
    hours: 0,
    days: 0,
    deviceRows: 0,
    rowsWritten: 0,
    hoursLeft: 0,
    daysLeft: 0,
    oddTimes: 0,
    caughtUpTo: null,
    stopped: "done",
  };
  try {
    const range = await list(input, context, steps, figures);
    await computeHours(input, context, steps, figures, range);
    if (figures.stopped !== "time" && (input.granularity === "day" || range)) {
      await computeDays(context, steps, figures, range);
    }
  } catch (error) {
    // The deadline aborted this step and the database rolled it back. The results of the earlier steps stay.
    if (!context.signal.aborted || figures.hours + figures.days === 0) {
      throw error;
    }
    figures.stopped = "time";
  }
  return { summary: summarize(figures, context.now()), ...figures };
}

/** Lists the periods to compute: those of a range, or those that changed or ended since the last run. */
async function list(
  input: Input,
  context: AggregateContext,
  steps: Steps,
  figures: Figures,
): Promise<Range | undefined> {
  if (input.from !== undefined && input.to !== undefined) {
    const range = await steps.recompute(input.from, input.to);
    figures.hoursLeft = range.hours;
    return range;
  }
  let begun = await steps.begin();
  figures.oddTimes = begun.odd_times;
  while (begun.notes_left > 0 && hasTime(context)) {
    begun = await steps.begin();
    figures.oddTimes += begun.odd_times;
  }
  figures.hoursLeft = begun.pending_hours;
  figures.daysLeft = begun.pending_days;
}

async function computeHours(
  input: Input,
  context: AggregateContext,
  steps: Steps,
  figures: Figures,
  range?: Range,
): Promise<void> {
  let atOnce = firstHours;
  let lastMs = 0;
  do {
    if (!hasTime(context, lastMs)) return void (figures.stopped = "time");
    const maximum = Math.min(atOnce, input.maxHours - figures.hours);
    const begunAt = context.now().getTime();
    try {
      const step = await steps.hours(maximum, range);
      figures.hours += step.hours;
      figures.deviceRows += step.device_rows;
      figures.rowsWritten += step.rows_written;
      figures.hoursLeft = step.hours_left;
      figures.caughtUpTo = step.caught_up_to;
      context.reportProgress({
        hours: figures.hours,
        hoursLeft: step.hours_left,
        at: step.from,
      });
      if (step.hours === 0) break;
    } catch (error) {
      if (!(error instanceof StepTimeoutError) || maximum === 1) throw error;
      context.log.warn("step timed out, going on with fewer hours at once", {
        hours: maximum,
      });
      atOnce = Math.max(1, Math.floor(maximum / 4));
      continue;
    }
    lastMs = context.now().getTime() - begunAt;
    if (lastMs < shortStepMs) atOnce = Math.min(maximumHoursAtOnce, atOnce * 2);
    else if (lastMs > longStepMs) atOnce = Math.max(1, Math.floor(atOnce / 2));
  } while (figures.hoursLeft > 0 && figures.hours < input.maxHours);
  if (figures.hoursLeft > 0) figures.stopped = "limit";
}

async function computeDays(
  context: AggregateContext,
  steps: Steps,
  figures: Figures,
  range?: Range,
): Promise<void> {
  do {
    if (!hasTime(context)) return void (figures.stopped = "time");
    const step = await steps.days(daysAtOnce, range);
    figures.days += step.days;
    figures.deviceRows += step.device_rows;
    figures.rowsWritten += step.rows_written;
    figures.daysLeft = step.days_left;
    context.reportProgress({
      hours: figures.hours,
      days: figures.days,
      daysLeft: step.days_left,
    });
    if (step.days === 0) break;
  } while (figures.daysLeft > 0);
}

/** Whether the time left is enough for a step that takes twice as long as the one before. */
function hasTime(
  { signal, remainingMs }: AggregateContext,
  lastMs = 0,
): boolean {
  return !signal.aborted && remainingMs() > Math.max(reserveMs, 2 * lastMs);
}
