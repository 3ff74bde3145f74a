import { z } from "zod";
import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { readAnswer } from "../../../shared/read-answer.ts";
import { describeWindow, placeInWindow, windowSettings } from "./window.ts";

/** What of its context the job uses. */
export type TriggerContext = Pick<JobContext, "db" | "runId" | "signal" | "now" | "log">;

export interface TriggerInput {
  force: boolean;
  manual_test: boolean;
  zones: boolean;
}

const begun = z.object({
  outcome: z.enum(["started", "already_run", "outside_window", "no_provider"]),
  date: z.string().optional(),
  batches: z.number().int(),
  tasks: z.number().int(),
  /** Organizations that could not be begun; the others were. */
  problems: z.array(z.object({ id: z.string(), name: z.string(), error: z.string() })).default([]),
});

/**
 * Looks at the clock and begins the batch: marks, batch jobs, tasks and processor runs in one transaction of the
 * database. A second run of a day, or one outside the window, completes and says so.
 */
export async function trigger(input: TriggerInput, context: TriggerContext): Promise<JsonObject> {
  const { db, runId, signal, now, log } = context;
  const settings = await readSettings(context);
  const window = describeWindow(settings);
  const place = placeInWindow(now(), settings);
  const told = { window, forced: input.force, manual_test: input.manual_test, zones: input.zones };
  if (!input.zones && !input.force && !place.open) {
    return { ...await outside(context, place, window), ...told };
  }

  const { outcome, date, batches, tasks, problems } = readAnswer(
    "begin the daily batch",
    begun,
    await db.rpc("trigger_daily_batch", {
      p_zones: input.zones,
      p_force: input.force,
      p_manual_test: input.manual_test,
      p_run_id: runId,
    }).abortSignal(signal),
  );
  log.info("daily batch", { outcome, batches, tasks, problems: problems.length });
  const whom = input.zones ? "organizations with their own zone or hour" : date;
  const summary = {
    started: `${count(batches, "batch", "batches")} begun (${whom}), ${
      count(tasks, "task", "tasks")
    }`,
    already_run: `nothing begun: ${date} has been run already`,
    outside_window: `nothing begun: it is outside the window, ${window}`,
    no_provider: "nothing begun: no provider is enabled; the next tick tries again",
  }[outcome];
  const notable = outcome === "no_provider" || problems.length > 0
    ? "error"
    : batches > 0
    ? "info"
    : undefined;
  return {
    summary: summary + describeProblems(problems),
    outcome,
    ...(date === undefined ? {} : { date }),
    batches,
    tasks,
    ...(problems.length === 0 ? {} : { problems }),
    ...told,
    ...(notable === undefined ? {} : { notable }),
  };
}

async function readSettings({ db, signal }: TriggerContext) {
  const { data, error } = await db.from("scheduler_settings").select("key, value")
    .in("key", Object.keys(windowSettings.shape)).abortSignal(signal);
  if (error) throw error;
  return windowSettings.parse(Object.fromEntries(data.map(({ key, value }) => [key, value])));
}

/** Outside the window nothing begins. A day whose window passed without a batch is worth a warning. */
async function outside(
  { db, signal }: TriggerContext,
  { date, clock }: { date: string; clock: string },
  window: string,
): Promise<JsonObject> {
  const { data, error } = await db.from("scheduler_state").select("last_daily_run_key")
    .eq("scope", "global").abortSignal(signal).maybeSingle();
  if (error) throw error;
  const left = data !== null && data.last_daily_run_key < date;
  return {
    summary: `nothing begun: it is ${clock}, the window is ${window}` +
      (left ? `; ${date} has not been run: call with {"force": true}` : ""),
    outcome: "outside_window",
    date,
    batches: 0,
    tasks: 0,
    ...(left ? { notable: "warning" } : {}),
  };
}

function describeProblems(problems: z.output<typeof begun>["problems"]): string {
  const [first] = problems;
  if (first === undefined) return "";
  return `; ${
    count(problems.length, "organization", "organizations")
  } could not be begun, of them ${first.name}: ${first.error}`;
}

function count(number: number, one: string, many: string): string {
  return `${number.toLocaleString("en-US")} ${number === 1 ? one : many}`;
}
