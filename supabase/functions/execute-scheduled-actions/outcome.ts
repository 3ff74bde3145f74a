import { readRetryAfter } from "../../../shared/retry-after.ts";

/** The outcome of a call: the part of a result that depends on the receiver. */
export interface CallOutcome {
  outcome: "completed" | "failed";
  http_status?: number;
  error?: string;
  retry_after_seconds?: number;
  final?: boolean;
  /** The receiver gave no answer: no connection, or no answer in time. */
  silent?: true;
}

/** The longest duration of a call, the name's resolution included. */
export const callTimeoutMs = 10_000;

/** A 2xx is success. All other statuses are retried, except 410, which asks for no retry (Standard Webhooks). */
export function judge(status: number, retryAfter: string | null, now: Date): CallOutcome {
  if (status >= 200 && status < 300) return { outcome: "completed", http_status: status };
  const isRedirect = status >= 300 && status < 400;
  const seconds = Math.min(Math.ceil((readRetryAfter(retryAfter, now) ?? 0) / 1000), 86_400);
  return {
    outcome: "failed",
    http_status: status,
    error: isRedirect
      ? `HTTP ${status}: redirects are not followed, schedule the final URL`
      : `HTTP ${status}`,
    ...(seconds > 0 ? { retry_after_seconds: seconds } : {}),
    ...(status === 410 ? { final: true } : {}),
  };
}
