import type { JobContext, JsonObject } from "../../../shared/job/define-job.ts";
import { checkKey } from "./check-key.ts";
import { providers } from "./providers.ts";
import { recorded, report } from "./report.ts";

/**
 * Checks all keys at the same time and records the results in one call.
 *
 * @throws the database's error when the results could not be recorded.
 */
export async function monitor(
  timeoutMs: number,
  context: JobContext,
): Promise<JsonObject> {
  const begunAt = context.now();
  const checks = await Promise.all(
    providers.map((provider) => checkKey(provider, timeoutMs, context)),
  );
  // When two runs overlap, the results of the later one count. The ledger has the begin of each.
  const { data, error } = await context.db
    .rpc("record_api_key_checks", {
      p_checks: checks,
      p_run_id: context.runId,
    })
    .abortSignal(context.signal);
  if (error) throw error;
  return report(providers, checks, recorded.parse(data), begunAt);
}
