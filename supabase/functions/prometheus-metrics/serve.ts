import { createClient } from "@supabase/supabase-js";
import { authenticate } from "../../../shared/job/authenticate.ts";
import { readSecrets, readToken, serviceKey } from "../../../shared/job/credentials.ts";
import type { Database } from "../../../shared/database.types.ts";
import {
  errorMessage,
  HttpError,
  methodNotAllowed,
  misconfigured,
} from "../../../shared/job/errors.ts";
import { createLogger, createRedact } from "../../../shared/job/logger.ts";
import type { Platform } from "../../../shared/job/platform.ts";
import { contentType, renderReading } from "./exposition.ts";
import { readMetrics } from "./reading.ts";

/**
 * The handler that Prometheus scrapes. It is no job: it has no run in the ledger and answers at once.
 *
 * GET answers with the metrics as text, HEAD with the same headers and no text. It accepts
 * `Authorization: Bearer <METRICS_TOKEN>` and the credentials for calling a job. Errors are
 * `{"error": {"code", "message", "hint"?}}`: 401, 405, 500 (misconfigured), 503 (the database gave an error or no
 * answer).
 */
export function serveMetrics(platform: Platform): (request: Request) => Promise<Response> {
  return async (request) => {
    let log = createLogger(platform, (text) => text, { function: "prometheus-metrics" });
    try {
      const secrets = readSecrets(platform.env);
      const token = readToken(platform.env, "METRICS_TOKEN");
      log = createLogger(platform, createRedact(secrets, Object.values(token)), {
        function: "prometheus-metrics",
      });
      await authenticate(request, secrets, platform.env, token);
      if (request.method !== "GET" && request.method !== "HEAD") {
        throw methodNotAllowed(
          `Cannot show the metrics: method must be GET or HEAD, got ${request.method}`,
          "GET, HEAD",
        );
      }
      const url = platform.env("SUPABASE_URL");
      if (url === undefined) throw misconfigured("SUPABASE_URL is not set");
      const db = createClient<Database>(url, serviceKey(secrets), {
        auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
      });
      const reading = await readMetrics(db);
      for (const [source, reason] of Object.entries(reading.errors)) {
        log.error("a source of metrics failed", { source, reason });
      }
      const text = renderReading(reading);
      return new Response(request.method === "HEAD" ? null : text, {
        headers: { "content-type": contentType, "cache-control": "no-store" },
      });
    } catch (error) {
      if (error instanceof HttpError) {
        if (error.status >= 500) log.error(error.message, { code: error.code });
        return error.toResponse();
      }
      log.error("unexpected error", { error: errorMessage(error) });
      return new HttpError(
        500,
        "internal",
        "Cannot show the metrics: unexpected error",
        "see the function's log",
      ).toResponse();
    }
  };
}
