import { readRetryAfter } from "../../../shared/retry-after.ts";

/** What came of a call: the part of a result that the receiver is answerable for. */
export interface CallOutcome {
  outcome: "completed" | "failed";
  http_status?: number;
  error?: string;
  retry_after_seconds?: number;
  final?: boolean;
  /** It gave no answer: no connection, or none in time. */
  silent?: true;
}

/** How long a call may take, the name's resolution included. */
export const callTimeoutMs = 10_000;

/** A 2xx is success; everything else is tried again, but for 410, which asks not to (Standard Webhooks). */
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
