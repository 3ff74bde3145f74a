import type { z } from "zod";
import { atMost } from "../at-most.ts";
import type { JobContext, JobDefinition, JsonObject } from "./define-job.ts";
import { createBudget } from "./budget.ts";
import { DeferredError, errorMessage, PermanentError, StopError } from "./errors.ts";
import type { BegunRun, Ledger, Receipt } from "./ledger.ts";
import { type Logger, type Redact, redactJson } from "./logger.ts";
import type { Platform } from "./platform.ts";
import { storableJson } from "./storable-json.ts";

/** How long a job may take to stop after its signal fired, before its run is ended without it. */
const stopGraceMs = 5_000;
/** How long the receipt waits for the last progress to arrive. */
const lastHeartbeatMs = 2_000;
const maximumResultBytes = 256 * 1024;
/** The waits before the first further tries of the last receipt; whatever the time, these are made. */
const firstReceiptWaitsMs = [200, 1000, 3000];
/** The wait before each later one. */
const receiptWaitMs = 5000;

export interface RunEnvironment {
  platform: Platform;
  ledger: Ledger;
  log: Logger;
  redact: Redact;
  /** When work in this worker must be over, in ms since the epoch: see `endOfWork`. */
  workUntil: number;
  /** How long the last receipt is tried, in ms since the epoch: see `endOfWallClock`. */
  receiptUntil: number;
  /** The parts of the context that do not depend on the run's life. */
  services(signal: AbortSignal): Pick<JobContext, "db" | "http" | "env">;
}

/**
 * Lives a begun run to its end: heartbeats, deadline, shutdown, receipt. Never throws; returns the receipt.
 */
export async function runJob<S extends z.ZodType>(
  job: JobDefinition<S>,
  input: z.output<S>,
  run: BegunRun,
  environment: RunEnvironment,
): Promise<Receipt> {
  const { platform, ledger, log } = environment;
  const announced = platform.shutdownReason();
  if (announced !== undefined) {
    const receipt = interruptedBy(announced);
    await deliver(run.run_id, receipt, environment);
    return receipt;
  }
  const stop = new AbortController();
  const endsAt = Math.min(
    platform.now() + run.timeout_seconds * 1000,
    environment.workUntil,
  );
  /** What the next heartbeat reports, and what was reported last. */
  let progress: JsonObject | null = null;
  let steps = 0;
  let lastProgress: JsonObject | null = null;

  let beating: Promise<void> | undefined;
  /** Sends a heartbeat, unless one is still under way. */
  const beat = () => beating ??= sendHeartbeat().finally(() => beating = undefined);
  const sendHeartbeat = async () => {
    const news = progress;
    progress = null;
    try {
      if (!await ledger.heartbeat(run.run_id, news)) {
        stop.abort(new StopError("cancelled", "the run is over: it was cancelled or judged"));
      }
    } catch (error) {
      progress ??= news;
      log.warn("cannot report the heartbeat", { error: errorMessage(error) });
    }
  };

  // Each of these ends the run without its job, should the job not end by itself.
  const forced = Promise.withResolvers<Receipt>();
  const cancelers = [
    platform.every(run.heartbeat_seconds * 1000, () => void beat()),
    platform.after(Math.max(0, endsAt - platform.now()), () => {
      stop.abort(
        new StopError(
          "deadline",
          `the deadline of ${run.timeout_seconds} s or the wall clock was reached`,
        ),
      );
      cancelers.push(
        platform.after(stopGraceMs, () =>
          forced.resolve({
            outcome: "timed_out",
            errorMessage: "the job was still at work at its deadline",
          })),
      );
    }),
    platform.onShutdown((reason) => {
      stop.abort(new StopError("shutdown", `the platform is shutting down: ${reason}`));
      forced.resolve(interruptedBy(reason));
    }),
  ];

  const services = environment.services(stop.signal);
  const remainingMs = () => Math.max(0, endsAt - platform.now());
  const context: JobContext = {
    ...services,
    budget: (name) =>
      createBudget(name, {
        db: services.db,
        runId: run.run_id,
        signal: stop.signal,
        platform,
        remainingMs,
      }),
    log,
    signal: stop.signal,
    jobName: run.job_name,
    runId: run.run_id,
    scheduledFor: new Date(run.scheduled_for),
    interval: { from: new Date(run.interval_from), to: new Date(run.interval_to) },
    attempt: run.attempt,
    now: () => new Date(platform.now()),
    remainingMs,
    nextStep: (maximum) => !stop.signal.aborted && platform.now() < endsAt && ++steps <= maximum,
    // A value that is no JSON throws here, in the job's own code, instead of in every heartbeat.
    reportProgress: (value) =>
      void (progress = lastProgress = redactJson(storableJson(value), environment.redact)),
  };
  const receipt = await Promise.race([
    work(job, input, context, environment.redact, () => lastProgress),
    forced.promise,
  ]);
  for (const cancel of cancelers) cancel();
  const sendLastProgress = async () => {
    await beating;
    if (progress !== null) await beat();
  };
  if (beating !== undefined || progress !== null) {
    await atMost(lastHeartbeatMs, sendLastProgress(), platform.after);
  }
  await deliver(run.run_id, receipt, environment);
  return receipt;
}

function interruptedBy(reason: string): Receipt {
  return { outcome: "interrupted", errorMessage: `the platform shut down: ${reason}` };
}

async function work<S extends z.ZodType>(
  job: JobDefinition<S>,
  input: z.output<S>,
  context: JobContext,
  redact: Redact,
  lastProgress: () => JsonObject | null,
): Promise<Receipt> {
  try {
    return { outcome: "completed", result: storable(await job.run(input, context), redact) };
  } catch (error) {
    if (error instanceof DeferredError) {
      return {
        outcome: "deferred",
        resumeAt: error.until.toISOString(),
        result: storable({ summary: error.message, ...lastProgress() }, redact),
        errorDetail: { budget: error.budget },
      };
    }
    const reason: unknown = context.signal.aborted ? context.signal.reason : undefined;
    const outcome = reason instanceof StopError && reason.kind === "deadline"
      ? "timed_out"
      : reason instanceof StopError && reason.kind === "shutdown"
      ? "interrupted"
      : "failed";
    const stack = error instanceof Error && error.stack
      ? redact(error.stack).slice(0, 8000)
      : undefined;
    return {
      outcome,
      errorMessage: redact(errorMessage(error)).slice(0, 2000),
      errorDetail: {
        name: error instanceof Error ? redact(error.name) : typeof error,
        ...databaseDetail(error, redact),
        stack,
      },
      retryable: !(error instanceof PermanentError),
    };
  }
}

/** What PostgREST says beside the message: supabase-js hands it on as a plain object, which has no stack. */
function databaseDetail(error: unknown, redact: Redact): JsonObject {
  const detail: JsonObject = {};
  for (const key of ["code", "details", "hint"] as const) {
    const value = (error as Record<string, unknown> | null | undefined)?.[key];
    if (typeof value === "string" && value !== "") detail[key] = redact(value).slice(0, 2000);
  }
  return detail;
}

/** A result that the ledger can hold: JSON of at most 256 KiB, else what is left of it and how large it was. */
function storable(result: JsonObject, redact: Redact): JsonObject {
  const clean = redactJson(result ?? {}, redact);
  const bytes = new TextEncoder().encode(JSON.stringify(clean)).byteLength;
  if (bytes <= maximumResultBytes) return clean;
  return {
    ...summaryOf(clean),
    truncated: `the result had ${bytes} bytes, at most ${maximumResultBytes} are kept`,
  };
}

function summaryOf(result: JsonObject | undefined): { summary?: string } {
  const summary = result?.summary;
  return typeof summary === "string" ? { summary: summary.slice(0, 1000) } : {};
}

/**
 * Tries the last receipt until the wall clock ends: without it finished work is taken for stalled and done again, and
 * after a restart of the database PostgREST is back only 16 s later than the database.
 */
async function deliver(
  runId: string,
  receipt: Receipt,
  environment: RunEnvironment,
): Promise<void> {
  const { ledger, log, platform, receiptUntil } = environment;
  for (let attempt = 1;; attempt++) {
    try {
      const refusal = await ledger.finish(runId, receipt);
      if (refusal !== null) {
        log.warn("the receipt was refused", { outcome: receipt.outcome, reason: refusal });
      }
      return;
    } catch (error) {
      log.warn("cannot deliver the receipt", { attempt, error: errorMessage(error) });
      const wait = firstReceiptWaitsMs[attempt - 1] ?? receiptWaitMs;
      if (attempt > firstReceiptWaitsMs.length && platform.now() + wait > receiptUntil) {
        log.error("the receipt is lost; the pulse will judge the run", {
          outcome: receipt.outcome,
          ...(receipt.errorMessage === undefined ? {} : { error: receipt.errorMessage }),
          ...summaryOf(receipt.result),
        });
        return;
      }
      await waitOrShutdown(wait, platform);
    }
  }
}

/** Waits; a shutdown ends the wait, because the worker may not live as long. */
function waitOrShutdown(ms: number, platform: Platform): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      for (const cancel of cancelers) cancel();
      resolve();
    };
    const cancelers = [platform.after(ms, end), platform.onShutdown(end)];
  });
}
