import { z } from "zod";
import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { errorMessage } from "../../../shared/job/errors.ts";

/** The part of the job's context that pruning uses. */
export type PruneContext = Pick<
  JobContext,
  "db" | "log" | "signal" | "remainingMs" | "reportProgress"
>;

/** The database stops a statement after 8 s. No statement begins when less time than this is left. */
const stepMs = 10_000;

const plan = z.object({
  rules: z.array(z.string()),
  held: z.array(z.string()),
});

/**
 * Prunes by every rule in turn, one batch each, until no rule has a full batch left or the time is over. So a table
 * with a large backlog delays no other.
 *
 * @throws at the end when a rule failed; by then all other rules were applied.
 */
export async function prune(batchRows: number, context: PruneContext): Promise<JsonObject> {
  const { db, log, signal, remainingMs, reportProgress } = context;
  const begun = await db.rpc("scheduler_begin_pruning").abortSignal(signal);
  if (begun.error) throw begun.error;
  const { rules, held } = plan.parse(begun.data);

  const deleted: Record<string, number> = {};
  const problems: Record<string, string> = {};
  let unfinished = rules;
  while (unfinished.length > 0 && remainingMs() > stepMs && !signal.aborted) {
    const full: string[] = [];
    for (const rule of unfinished) {
      if (remainingMs() <= stepMs || signal.aborted) {
        full.push(rule);
        continue;
      }
      const { data, error } = await db
        .rpc("scheduler_prune_old_rows", { p_rule: rule, p_limit: batchRows })
        .abortSignal(signal);
      if (error && signal.aborted) full.push(rule);
      else if (error) problems[rule] = errorMessage(error);
      else {
        if (data > 0) deleted[rule] = (deleted[rule] ?? 0) + data;
        if (data >= batchRows) full.push(rule);
      }
    }
    unfinished = full;
    reportProgress({ deleted, unfinished });
  }

  const total = Object.values(deleted).reduce((sum, count) => sum + count, 0);
  const notes = [
    ...held,
    ...(unfinished.length === 0 ? [] : [`more is left of ${unfinished.join(", ")}`]),
  ];
  const summary = [`${total.toLocaleString("en-US")} old rows deleted`, ...notes].join("; ");
  const failures = Object.entries(problems).map(([rule, problem]) => `${rule}: ${problem}`);
  if (failures.length > 0) {
    log.error("not pruned", { problems, deleted });
    throw new Error(`Cannot prune by ${failures.join("; ")} (${summary})`);
  }
  return {
    summary,
    deleted,
    unfinished,
    held,
    ...(notes.length > 0 ? { notable: "warning" } : {}),
  };
}
