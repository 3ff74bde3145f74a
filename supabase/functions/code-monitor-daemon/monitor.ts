import { z } from "zod";
import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { readAnswer } from "../../../shared/read-answer.ts";
import { askForFixes } from "./ask-for-fixes.ts";
import { collect } from "./collect.ts";
import { summarize } from "./summarize.ts";

const stateSchema = z.object({
  /** The current time by the database's clock. */
  at: z.string(),
  fixes_per_run: z.number(),
  open_causes: z.number(),
  exhausted_causes: z.number(),
  waiting_proposals: z.number(),
  github_token: z.object({
    status: z.string(),
    since: z.string(),
    checked_at: z.string().nullable(),
    expires_at: z.string().nullable(),
  }).nullable(),
});

/** One run: assign causes to failed executions, ask for fixes, report the state of all causes. */
export async function monitor(context: JobContext): Promise<JsonObject> {
  const { db, signal } = context;
  const readState = async () =>
    readAnswer(
      "read the causes",
      stateSchema,
      await db.rpc("code_monitor_state").abortSignal(signal),
    );
  const collected = await collect(context);
  const { fixes_per_run: limit, at } = await readState();
  const asked = await askForFixes(limit, at, context);
  const state = await readState();
  const token = state.github_token;
  const { failures, causes, newCauses, reopenedCauses, more } = collected;
  return {
    summary: summarize(collected, asked, token?.status ?? null),
    ...(newCauses.size + reopenedCauses.size > 0 ? { notable: "warning" } : {}),
    failures,
    causes: causes.size,
    newCauses: [...newCauses].slice(0, 100),
    reopenedCauses: [...reopenedCauses].slice(0, 100),
    moreFailures: more,
    fixesAsked: asked.asked,
    fixesProposed: asked.proposed,
    fixesFailed: asked.failed,
    fixesUnderWay: asked.underWay,
    stopped: asked.stopped,
    openCauses: state.open_causes,
    exhaustedCauses: state.exhausted_causes,
    waitingProposals: state.waiting_proposals,
    githubToken: token === null ? null : {
      status: token.status,
      since: token.since,
      checkedAt: token.checked_at,
      expiresAt: token.expires_at,
    },
    ...(asked.notConfigured.length > 0 ? { notConfigured: asked.notConfigured } : {}),
  };
}
