import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { checkKey } from "./check-key.ts";
import { providers } from "./providers.ts";
import { recorded, report } from "./report.ts";

/**
 * Checks every key, all at the same time, and records what was found in one call.
 *
 * @throws what the database says, when nothing could be recorded.
 */
export async function monitor(
  timeoutMs: number,
  context: JobContext,
): Promise<JsonObject> {
  const begunAt = context.now();
  const checks = await Promise.all(
    providers.map((provider) => checkKey(provider, timeoutMs, context)),
  );
  // Of two runs that overlap, the one that began later counts: the ledger knows which.
  const { data, error } = await context.db
    .rpc("record_api_key_checks", {
      p_checks: checks,
      p_run_id: context.runId,
    })
    .abortSignal(context.signal);
  if (error) throw error;
  return report(providers, checks, recorded.parse(data), begunAt);
}
