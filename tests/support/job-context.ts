import type { JobContext } from "../../shared/job/define-job.ts";
import { createHttpClient } from "../../shared/http-client.ts";

/**
 * What a job is given, for calling its `run` without a server around it. Time stands at `now`, nothing is
 * configured, and outgoing HTTP is the real client with retries that do not wait. A part that a test needs
 * otherwise is handed in; the database has to be, where the job asks it.
 */
export function jobContext(
  options: Partial<Omit<JobContext, "env" | "now" | "remainingMs">> & {
    env?: Record<string, string>;
    now?: Date;
    remainingMs?: () => number;
  } = {},
): JobContext {
  const { env = {}, now = new Date("2026-03-02T12:00:00Z"), remainingMs, ...parts } = options;
  let steps = 0;
  const signal = parts.signal ?? new AbortController().signal;
  return {
    db: new Proxy({} as JobContext["db"], {
      get() {
        throw new Error("This test handed in no database");
      },
    }),
    http: createHttpClient({ signal, backoffMs: () => 1, now: () => now }),
    log: { info() {}, warn() {}, error() {} },
    jobName: "test-job",
    runId: "00000000-0000-4000-8000-000000000001",
    scheduledFor: now,
    interval: { from: now, to: now },
    attempt: 1,
    nextStep: (maximum) => ++steps <= maximum,
    budget: (name) => {
      throw new Error(`This test handed in no budget ${name}`);
    },
    reportProgress() {},
    ...parts,
    signal,
    env: (name) => env[name] || undefined,
    now: () => now,
    remainingMs: remainingMs ?? (() => 140_000),
  };
}
