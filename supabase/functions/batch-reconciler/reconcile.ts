import { z } from "zod";
import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { errorMessage } from "../../../shared/job/errors.ts";
import { readAnswer } from "../../../shared/read-answer.ts";
import { describe, type Told, told } from "./describe.ts";

/** What of its context the job uses. */
type ReconcileContext = Pick<
  JobContext,
  "db" | "log" | "signal" | "remainingMs" | "reportProgress"
>;

/** A statement is stopped after 8 s: none begins with less than this left. */
const stepMs = 10_000;
const pageSize = 100;

const stuck = z.array(z.string());

/**
 * Resumes the stuck batch jobs in turn, a transaction each. One that cannot be resumed does not stop the others.
 *
 * @throws Error at the end, when some could not be resumed; the others have been by then.
 */
export async function reconcile(
  maxJobs: number,
  context: ReconcileContext,
): Promise<JsonObject> {
  const { db, log, signal, remainingMs, reportProgress } = context;
  const mayGoOn = () => remainingMs() > stepMs && !signal.aborted;

  const jobs: Told[] = [];
  const problems: Record<string, string> = {};
  let seen = 0;
  let last: string | undefined;
  let page: string[] = [];
  let isLastPage = false;
  while (seen < maxJobs && mayGoOn()) {
    if (page.length === 0) {
      if (isLastPage) break;
      page = readAnswer(
        "look for stuck batch jobs",
        stuck,
        await db.rpc("find_stuck_batch_jobs", {
          p_limit: pageSize,
          ...(last === undefined ? {} : { p_after: last }),
        }).abortSignal(signal),
      );
      isLastPage = page.length < pageSize;
      continue;
    }
    const id = page.shift()!;
    last = id;
    seen++;
    const { data, error } = await db
      .rpc("resume_stuck_batch_job", { p_job_id: id })
      .abortSignal(signal);
    if (error) problems[id] = errorMessage(error);
    else jobs.push(told.parse(data));
    reportProgress({ jobs: jobs.length, problems });
  }

  const result = {
    ...describe(jobs, page.length > 0 || !isLastPage),
    problems,
  };
  const failed = Object.entries(problems);
  if (failed.length > 0) {
    log.error("not resumed", result);
    const [id, problem] = failed[0]!;
    throw new Error(
      `Cannot resume ${failed.length} batch jobs, of them ${id}: ${problem} (${result.summary})`,
    );
  }
  return result;
}
