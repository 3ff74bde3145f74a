import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { z } from "zod";
import { authenticate, type Caller } from "./authenticate.ts";
import { readSecrets, serviceKey } from "./credentials.ts";
import type { Database } from "../database.types.ts";
import type { JobDefinition, JsonObject } from "./define-job.ts";
import { errorMessage, HttpError, methodNotAllowed, misconfigured } from "./errors.ts";
import { createHttpClient } from "../http-client.ts";
import {
  type BegunRun,
  createLedger,
  type Ledger,
  type Receipt,
  type RefusedRun,
} from "./ledger.ts";
import { createLogger, createRedact } from "./logger.ts";
import { edgePlatform, type Platform } from "./platform.ts";
import { readInput, readPayload } from "./read-input.ts";
import { runJob } from "./run-job.ts";
import { endOfWallClock, endOfWork, wallClockText } from "./wall-clock.ts";

/**
 * Turns a job's description into the handler of its edge function.
 *
 * A dispatched request (`x-run-id`) is answered 202 as soon as its run has begun; the work goes on behind it. A
 * person's call waits and gets the result, or the 202 with `Prefer: respond-async`; without a body it runs the job with
 * the payload it is registered with. So does the call of an outside clock, with the cron secret and without
 * `x-manual-call`, for the occurrence that is due; where that has begun, it is answered 200 `already`. Errors are `{"error": {"code", "message", "hint"?}}`: 401, 405, 413, 400, 404
 * (`unknown_job`: the function does not serve the job of `x-job-name`), 409 (`run_refused`: the run that the request
 * names has begun, is over or is not this function's; `busy`: another one is under way), 500, 503 (`deferred`); docs/errors.md has each.
 * Every answer to a request with an `x-run-id` carries it: pg_net's own ids start again after a crash.
 */
export function serveJob<S extends z.ZodType, D>(
  definition: JobDefinition<S, D>,
  platform: Platform = edgePlatform,
): (request: Request) => Promise<Response> {
  // The job's own types of the database say no more than what it calls there.
  const job = definition as unknown as JobDefinition<S>;
  const databaseOf = keepDatabase();

  return async (request) => {
    const runId = request.headers.get("x-run-id");
    const response = await respond(request);
    if (runId !== null && uuid.test(runId)) response.headers.set("x-run-id", runId);
    return response;
  };

  async function respond(request: Request): Promise<Response> {
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
        throw methodNotAllowed(
          `Cannot run the job: method must be POST, got ${request.method}`,
          "POST",
          { "x-daybook-wall-clock-seconds": wallClockText(platform.env) },
        );
      }
      const url = platform.env("SUPABASE_URL");
      if (url === undefined) {
        throw misconfigured("SUPABASE_URL is not set");
      }
      const workUntil = endOfWork(platform);
      const db = databaseOf(url, serviceKey(secrets));
      const ledger = createLedger(db);
      const call = readCall(request, job.name, caller, platform);
      const sent = sentPayload(call, await readPayload(request));
      if (call.isClock) call.jobName ??= await onlyJob(call, ledger);
      const { input, payload } = await readInput(
        sent,
        job.input,
        () => payloadWithoutBody(call, ledger),
      );
      const run = await begin(call, ledger, payload as JsonObject);
      if (!run.begun) return already(call, run);

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
        receiptUntil: endOfWallClock(platform),
        services: (signal) => ({
          db,
          http: createHttpClient({ signal, now: () => new Date(platform.now()) }),
          env: platform.env,
        }),
      }).then((receipt) => {
        const { outcome, errorMessage: error } = receipt;
        const durationMs = platform.now() - startedAt;
        log[outcome === "completed" || outcome === "deferred" ? "info" : "error"](outcome, {
          duration_ms: durationMs,
          ...(error ? { error } : {}),
        });
        return { receipt, durationMs };
      });
      platform.waitUntil(finished);

      const wantsResult = call.runId === null &&
        !/\brespond-async\b/i.test(request.headers.get("prefer") ?? "");
      const identity = { run_id: run.run_id, job: run.job_name };
      if (!wantsResult) {
        return Response.json({ ...identity, status: "running" }, {
          status: 202,
          headers: { "x-run-id": run.run_id },
        });
      }
      const { receipt, durationMs } = await finished;
      return answer(run, receipt, { ...identity, duration_ms: durationMs }, platform);
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
  }
}

/** The worker's client of the database: made once, and again when the URL or the key has become another. */
function keepDatabase(): (url: string, key: string) => SupabaseClient<Database> {
  let kept: { url: string; key: string; db: SupabaseClient<Database> } | undefined;
  return (url, key) => {
    if (kept?.url !== url || kept.key !== key) {
      const db = createClient<Database>(url, key, {
        auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
      });
      kept = { url, key, db };
    }
    return kept.db;
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

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * What a request asks for: the run that the database dispatched, the occurrence that is due (an outside clock), or one
 * of a person's own.
 */
interface Call {
  functionName: string;
  /** Of the run that the database dispatched. */
  runId: string | null;
  isClock: boolean;
  /** The job that a person means; null: the one named like the function. */
  jobName: string | null;
  holder: string;
}

function readCall(
  request: Request,
  functionName: string,
  caller: Caller,
  platform: Platform,
): Call {
  const runId = request.headers.get("x-run-id");
  if (runId !== null && !uuid.test(runId)) {
    throw new HttpError(
      400,
      "invalid_input",
      "Cannot run the job: header x-run-id: must be a UUID",
      "leave the header x-run-id out to call by hand",
    );
  }
  return {
    functionName,
    runId,
    isClock: runId === null && caller.credential.startsWith("CRON_SECRET") &&
      request.headers.get("x-manual-call")?.toLowerCase() !== "true",
    jobName: request.headers.get("x-job-name"),
    holder: platform.env("SB_EXECUTION_ID") ??
      `worker booted ${new Date(platform.bootedAt).toISOString()}`,
  };
}

/** An outside clock has nothing to say to the job: it sends no body, or `{}`. */
function sentPayload({ isClock }: Call, payload: Record<string, unknown> | undefined) {
  if (!isClock) return payload;
  if (payload === undefined || Object.keys(payload).length === 0) return undefined;
  throw new HttpError(
    400,
    "invalid_input",
    `Cannot run the job: body: ${
      Object.keys(payload).join(", ").slice(0, 100)
    }: an outside clock runs the job as it is registered`,
    "leave the body out, or send x-manual-call: true to run the job with it",
  );
}

/** The job that an outside clock means without naming it: the function's only one, or the one of its own name. */
async function onlyJob(call: Call, ledger: Ledger): Promise<string | null> {
  const names = await reach(ledger.jobNames(call.functionName));
  if (names.includes(call.functionName) || names.length === 0) return null;
  if (names.length === 1) return names[0]!;
  throw unknownJob(call, names);
}

/** A call without a body runs the job as it is registered; a function that no job names has `{}`. */
async function payloadWithoutBody(call: Call, ledger: Ledger): Promise<JsonObject> {
  const { functionName, runId, jobName } = call;
  if (runId !== null) {
    throw new HttpError(
      400,
      "invalid_input",
      "Cannot run the job: body: a run that was dispatched has its payload there, got none",
      "leave the header x-run-id out to call by hand",
    );
  }
  const registered = await reach(ledger.registeredPayload(functionName, jobName ?? functionName));
  if (registered === undefined && jobName !== null) {
    throw unknownJob(call, await reach(ledger.jobNames(functionName)));
  }
  return registered ?? {};
}

/** Begins the run that the request asks for; refused with `already` where an outside clock has nothing to begin. */
async function begin(
  call: Call,
  ledger: Ledger,
  payload: JsonObject,
): Promise<BegunRun | RefusedRun> {
  const { functionName, runId, isClock, jobName, holder } = call;
  const run = await reach(
    runId !== null
      ? ledger.begin(runId, functionName, holder)
      : isClock
      ? ledger.beginDue(functionName, jobName, holder)
      : ledger.beginManual(functionName, jobName, payload, holder),
  );
  if (run.begun || run.reason === "already") return run;
  if (run.reason === "busy") {
    throw new HttpError(
      409,
      "busy",
      `Cannot run the job: run ${run.run_id} has been under way since ${run.since}`,
      `wait for it, or select scheduler.cancel_run('${run.run_id}', reason, author)`,
    );
  }
  if (run.reason === "unknown job") throw unknownJob(call, run.jobs ?? []);
  throw new HttpError(409, "run_refused", `Cannot begin run ${runId}: ${run.reason}`);
}

/** To an outside clock: the occurrence that is due has begun, or none is. */
function already(call: Call, run: RefusedRun): Response {
  return Response.json({
    job: call.jobName ?? call.functionName,
    status: "already",
    run_id: run.run_id ?? null,
    run_status: run.status ?? null,
    message: run.message,
  });
}

/** What the ledger answers, or a 500 when it does not. */
async function reach<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw new HttpError(
      500,
      "ledger_unavailable",
      `Cannot begin the run: the ledger does not answer: ${errorMessage(error)}`.slice(0, 500),
    );
  }
}

function unknownJob({ functionName, jobName }: Call, jobs: string[]): HttpError {
  return new HttpError(
    404,
    "unknown_job",
    `Cannot run the job: header x-job-name: ${functionName} serves ${
      jobName === null
        ? "several jobs, and one must be named"
        : `no job named ${JSON.stringify(jobName)}`
    }`,
    `the jobs are: ${jobs.join(", ") || "none"}`,
  );
}

/** What a person gets: the result, or the error with the run under which the ledger keeps it. */
function answer(
  run: BegunRun,
  receipt: Receipt,
  identity: JsonObject,
  platform: Platform,
): Response {
  if (receipt.outcome === "completed") {
    return Response.json({ ...identity, status: "completed", result: receipt.result ?? {} });
  }
  if (receipt.outcome === "deferred") {
    const seconds = Math.ceil((Date.parse(receipt.resumeAt ?? "") - platform.now()) / 1000);
    return Response.json({
      ...identity,
      status: "deferred",
      error: {
        code: "deferred",
        message: run.trigger === "manual"
          ? `The budget has tokens for it from ${receipt.resumeAt} on: call again then`
          : `The run is resumed at ${receipt.resumeAt}`,
      },
    }, { status: 503, headers: { "retry-after": String(Math.max(1, seconds)) } });
  }
  return Response.json({
    ...identity,
    status: "failed",
    error: { code: receipt.outcome, message: receipt.errorMessage ?? "the job failed" },
  }, { status: 500 });
}
