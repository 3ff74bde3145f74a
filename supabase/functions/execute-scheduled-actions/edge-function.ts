import {
  FunctionsFetchError,
  FunctionsHttpError,
  FunctionsRelayError,
} from "@supabase/supabase-js";
import type { JobContext } from "../../../shared/job/define-job.ts";
import type { Call } from "./calls.ts";
import { callTimeoutMs, judge } from "./outcome.ts";

/**
 * Calls edge functions of the project with its service key. `Prefer: respond-async` lets a job of this suite answer
 * as soon as its run has begun. The ledger has the outcome of that run.
 */
export function createEdgeFunctionCall({ db, now }: Pick<JobContext, "db" | "now">): Call {
  return async (action, signal) => {
    const { error, response } = await db.functions.invoke(action.function_name ?? "", {
      headers: {
        "Content-Type": "application/json",
        "Idempotency-Key": action.idempotency_key,
        "Prefer": "respond-async",
      },
      body: action.payload,
      timeout: callTimeoutMs,
      signal,
    });
    if (error instanceof FunctionsFetchError) {
      const cause: unknown = error.context;
      const isTimeout = cause instanceof Error && cause.name === "AbortError";
      return {
        outcome: "failed",
        error: isTimeout ? `no answer within ${callTimeoutMs / 1000} s` : "no answer",
        silent: true,
      };
    }
    if (error instanceof FunctionsHttpError || error instanceof FunctionsRelayError) {
      const answer: Response = error.context;
      // The body is not used, so an error while cancelling it does not matter.
      await answer.body?.cancel().catch(() => {});
      return judge(answer.status, answer.headers.get("retry-after"), now());
    }
    // Any other error comes from the body of a 2xx, which is not used.
    return { outcome: "completed", http_status: response?.status ?? 200 };
  };
}
