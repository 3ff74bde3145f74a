import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { errorMessage } from "../../../shared/job/errors.ts";
import { readAnswer } from "../../../shared/read-answer.ts";

const atOnce = 3;
/** No request begins when it would get less time than this. */
const shortestAnswerMs = 20_000;
const longestAnswerMs = 110_000;
/** The time reserved for finishing the run. */
const reserveMs = 5_000;

const claimSchema = z.discriminatedUnion("claimed", [
  z.object({ claimed: z.literal(false) }),
  z.object({
    claimed: z.literal(true),
    cause_id: z.number(),
    request_id: z.string(),
    error_type: z.string(),
  }),
]);
type Claim = Extract<z.output<typeof claimSchema>, { claimed: true }>;

const answerSchema = z.object({
  result: z.object({
    outcome: z.enum([
      "proposed",
      "failed",
      "unauthorized",
      "not_configured",
      "misconfigured",
      "daily_cap",
      "refused",
    ]),
    notConfigured: z.array(z.string()).default([]),
  }),
});

/** Why the run asked for no further fix. */
type Stop =
  | "done"
  | "limit"
  | "time"
  | "not_configured"
  | "misconfigured"
  | "daily_cap"
  | "unauthorized"
  | "not_deployed";

export interface Asked {
  /** Causes for which the fixer was called. */
  asked: number;
  proposed: number;
  /** Calls that failed or returned no valid proposal. */
  failed: number;
  /** Calls that were still open when the run's time ended; the fixer records their results itself. */
  underWay: number;
  notConfigured: string[];
  stopped: Stop;
}

/**
 * Calls `autonomous-code-fixer` once for each open cause that still has requests left, a few in parallel. It claims
 * each cause before the call, so that no other run calls for it at the same time. The claim counts as a request, even
 * if the call fails; it is released uncounted when no model was asked.
 *
 * @param limit The largest number of causes.
 * @param begunAt By the database's clock; causes claimed since then are skipped.
 */
export async function askForFixes(
  limit: number,
  begunAt: string,
  context: JobContext,
): Promise<Asked> {
  const { db, signal, log } = context;
  const total: Asked = {
    asked: 0,
    proposed: 0,
    failed: 0,
    underWay: 0,
    notConfigured: [],
    stopped: "done",
  };
  let left = limit;
  let stopped: Stop | undefined;

  const work = async () => {
    while (stopped === undefined) {
      if (left === 0) return void (stopped = "limit");
      if (signal.aborted || context.remainingMs() < shortestAnswerMs + reserveMs) {
        return void (stopped = "time");
      }
      left--;
      const claim = readAnswer(
        "claim a cause",
        claimSchema,
        await db.rpc("claim_code_fix", { p_not_since: begunAt }).abortSignal(signal),
      );
      if (!claim.claimed) {
        // No open cause is left, so the stop is "done", even if another worker has just reached the limit.
        if (stopped === undefined || stopped === "limit") stopped = "done";
        return;
      }
      total.asked++;
      await ask(claim);
      context.reportProgress({ asked: total.asked, proposed: total.proposed });
    }
  };

  const ask = async (claim: Claim) => {
    const timeoutMs = Math.min(longestAnswerMs, context.remainingMs() - reserveMs);
    const patience = AbortSignal.timeout(timeoutMs);
    const { data, error } = await db.functions.invoke("autonomous-code-fixer", {
      body: { causeId: claim.cause_id, requestId: claim.request_id },
      signal: AbortSignal.any([signal, patience]),
    });
    if (error !== null) {
      if (signal.aborted || patience.aborted) return void total.underWay++;
      const { status, message } = await describe(error);
      log.warn("autonomous-code-fixer failed", { cause: claim.cause_id, status, error: message });
      if (status === 404) {
        // The fixer is not deployed, so a call for any other cause would fail too.
        stopped = "not_deployed";
        total.asked--;
      } else {
        total.failed++;
      }
      return await release(claim, status !== 404);
    }
    const answer = answerSchema.safeParse(data);
    if (!answer.success) {
      total.failed++;
      log.warn("autonomous-code-fixer's answer has another shape than agreed", {
        cause: claim.cause_id,
      });
      return await release(claim, true);
    }
    const { outcome, notConfigured } = answer.data.result;
    for (const name of notConfigured) {
      if (!total.notConfigured.includes(name)) total.notConfigured.push(name);
    }
    if (outcome === "proposed") total.proposed++;
    else if (outcome === "failed") total.failed++;
    else {
      if (outcome !== "refused") stopped = outcome;
      if (outcome === "unauthorized") total.failed++;
      else total.asked--;
      await release(claim, false);
    }
  };

  const release = async (claim: Claim, counts: boolean) => {
    readAnswer(
      "give a cause back",
      z.boolean(),
      await db.rpc("release_code_fix", {
        p_cause_id: claim.cause_id,
        p_request_id: claim.request_id,
        p_counts: counts,
      }).abortSignal(signal),
    );
  };

  await Promise.all(Array.from({ length: atOnce }, work));
  total.stopped = stopped ?? "done";
  return total;
}

/** The status and text of a failed call; the status is null when the fixer gave no answer. */
async function describe(error: unknown): Promise<{ status: number | null; message: string }> {
  const response = (error as { context?: unknown }).context;
  if (!(response instanceof Response)) return { status: null, message: errorMessage(error) };
  const text = await response.text().catch(() => "");
  return { status: response.status, message: text.slice(0, 500) };
}
