import { createClient } from "@supabase/supabase-js";
import type { z } from "zod";
import { authenticate } from "./authenticate.ts";
import { readSecrets, serviceKey } from "./credentials.ts";
import type { Database } from "./database.types.ts";
import type { JobDefinition, JsonObject } from "./define-job.ts";
import { errorMessage, HttpError, misconfigured } from "./errors.ts";
import { createHttpClient } from "./http-client.ts";
import {
  type BegunRun,
  createLedger,
  type Ledger,
  type Receipt,
  type RefusedRun,
} from "./ledger.ts";
import { createLogger, createRedact } from "./logger.ts";
import { edgePlatform, type Platform } from "./platform.ts";
import { readInput } from "./read-input.ts";
import { runJob } from "./run-job.ts";
import { endOfWork } from "./wall-clock.ts";

/**
 * Turns a job's description into the handler of its edge function.
 *
 * A dispatched request (`x-run-id`) is answered 202 as soon as its run has begun; the work goes on behind it. A
 * person's call waits and gets the result, or the 202 with `Prefer: respond-async`. Errors are
 * `{"error": {"code", "message", "hint"?}}`: 401, 405, 413, 400, 409 (the run may not begin), 500.
 */
export function serveJob<S extends z.ZodType>(
  job: JobDefinition<S>,
  platform: Platform = edgePlatform,
): (request: Request) => Promise<Response> {
  return async (request) => {
    let log = createLogger(platform, (text) => text, { function: job.name });
    try {
      const secrets = readSecrets(platform.env);
      const redact = createRedact(
        secrets,
        (job.secrets ?? []).flatMap((name) =>
          name.startsWith("*")
            ? secretsEndingIn(name.slice(1), platform)
            : ownSecret(platform.env(name))
        ),
      );
      log = createLogger(platform, redact, { function: job.name });
      const caller = await authenticate(request, secrets, platform.env);
      if (request.method !== "POST") {
        throw new HttpError(
          405,
          "method_not_allowed",
          `Cannot run the job: method must be POST, got ${request.method}`,
          undefined,
          { allow: "POST" },
        );
      }
      const { input, payload } = await readInput(request, job.input);

      const url = platform.env("SUPABASE_URL");
      if (url === undefined) {
        throw misconfigured("SUPABASE_URL is not set");
      }
      const workUntil = endOfWork(platform);
      const db = createClient<Database>(url, serviceKey(secrets), {
        auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
      });
      const ledger = createLedger(db);
      const run = await begin(job.name, request, ledger, payload as JsonObject, platform);

      log = createLogger(platform, redact, {
        function: job.name,
        job: run.job_name,
        run_id: run.run_id,
      });
      log.info("begun", {
        attempt: run.attempt,
        scheduled_for: run.scheduled_for,
        credential: caller.credential,
      });
      const startedAt = platform.now();
      const finished = runJob(job, input, run, {
        platform,
        ledger,
        log,
        redact,
        workUntil,
        services: (signal) => ({ db, http: createHttpClient({ signal }), env: platform.env }),
      }).then((receipt) => {
        const { outcome, errorMessage: error } = receipt;
        const durationMs = platform.now() - startedAt;
        log[outcome === "completed" ? "info" : "error"](outcome, {
          duration_ms: durationMs,
          ...(error ? { error } : {}),
        });
        return { receipt, durationMs };
      });
      platform.waitUntil(finished);

      const wantsResult = !request.headers.has("x-run-id") &&
        !/\brespond-async\b/i.test(request.headers.get("prefer") ?? "");
      const identity = { run_id: run.run_id, job: run.job_name };
      if (!wantsResult) {
        return Response.json({ ...identity, status: "running" }, {
          status: 202,
          headers: { "x-run-id": run.run_id },
        });
      }
      const { receipt, durationMs } = await finished;
      return answer(receipt, { ...identity, duration_ms: durationMs });
    } catch (error) {
      if (error instanceof HttpError) {
        if (error.status >= 500) log.error(error.message, { code: error.code });
        return error.toResponse();
      }
      log.error("unexpected error", { error: errorMessage(error) });
      return new HttpError(
        500,
        "internal",
        "Cannot run the job: unexpected error",
        "see the function's log",
      ).toResponse();
    }
  };
}

/**
 * A secret as it is and without the blanks around it: what is sent and echoed may be either. One of a few letters
 * is none, and taking it out would leave nothing readable.
 */
function ownSecret(value: string | undefined): string[] {
  return [value ?? "", value?.trim() ?? ""].filter((form) => form.length >= 6);
}

/** Of all variables whose names end like that; what is shorter than a key ever is would mangle other words. */
function secretsEndingIn(ending: string, platform: Platform): string[] {
  return platform.envNames().filter((name) => name.endsWith(ending))
    .flatMap((name) => ownSecret(platform.env(name)))
    .filter((value) => value.length >= 8);
}

/** Begins the run that the request names, or one of a person's own. */
async function begin(
  functionName: string,
  request: Request,
  ledger: Ledger,
  payload: JsonObject,
  platform: Platform,
): Promise<BegunRun> {
  const runId = request.headers.get("x-run-id");
  const jobName = request.headers.get("x-job-name");
  const holder = platform.env("SB_EXECUTION_ID") ??
    `worker booted ${new Date(platform.bootedAt).toISOString()}`;
  if (runId !== null && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(runId)) {
    throw new HttpError(
      400,
      "invalid_input",
      "Cannot run the job: header x-run-id: must be a UUID",
      "leave it out to call by hand",
    );
  }
  let run: BegunRun | RefusedRun;
  try {
    run = runId !== null
      ? await ledger.begin(runId, functionName, holder)
      : await ledger.beginManual(functionName, jobName, payload, holder);
  } catch (error) {
    throw new HttpError(
      500,
      "ledger_unavailable",
      `Cannot begin the run: the ledger did not take the receipt: ${errorMessage(error)}`.slice(
        0,
        500,
      ),
    );
  }
  if (run.begun) return run;
  if (run.reason === "busy") {
    throw new HttpError(
      409,
      "busy",
      `Cannot run the job: run ${run.run_id} has been under way since ${run.since}`,
      "wait for it, or select scheduler.release_lock(job, reason)",
    );
  }
  if (run.reason === "unknown job") {
    throw new HttpError(
      400,
      "invalid_input",
      `Cannot run the job: header x-job-name: ${functionName} serves no job named ${
        JSON.stringify(jobName)
      }`,
      `the jobs are: ${run.jobs?.join(", ") || "none"}`,
    );
  }
  throw new HttpError(409, "run_refused", `Cannot begin run ${runId}: ${run.reason}`);
}

/** What a person gets: the result, or the error with the run under which the ledger keeps it. */
function answer(receipt: Receipt, identity: JsonObject): Response {
  if (receipt.outcome === "completed") {
    return Response.json({ ...identity, status: "completed", result: receipt.result ?? {} });
  }
  return Response.json({
    ...identity,
    status: "failed",
    error: { code: receipt.outcome, message: receipt.errorMessage ?? "the job failed" },
  }, { status: 500 });
}
