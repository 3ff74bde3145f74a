import { createClient } from "@supabase/supabase-js";
import { authenticate } from "../../../shared/job/authenticate.ts";
import {
  type KnownSecrets,
  readSecrets,
  readToken,
  serviceKey,
} from "../../../shared/job/credentials.ts";
import type { Database } from "../../../shared/database.types.ts";
import { errorMessage, HttpError, misconfigured } from "../../../shared/job/errors.ts";
import { createLogger, createRedact } from "../../../shared/job/logger.ts";
import type { Platform } from "../../../shared/job/platform.ts";
import { createApi, pathOf } from "./api.ts";
import { createAsk } from "./ask.ts";

/** Who watches from outside may see these with `METRICS_TOKEN`: they say how jobs do and nothing of what they did. */
const watched = /^\/(health(\/[^/]*)?|status)\/?$/;

/**
 * The handler of the API. It is no job: it has no run in the ledger and answers at once.
 *
 * The credential is looked at before anything else, the path included. Errors are
 * `{"error": {"code", "message", "hint"?}}`.
 */
export function serveApi(platform: Platform): (request: Request) => Promise<Response> {
  return async (request) => {
    let log = createLogger(platform, (text) => text, { function: "cron" });
    try {
      const secrets = readSecrets(platform.env);
      const token = readToken(platform.env, "METRICS_TOKEN");
      log = createLogger(platform, createRedact(secrets, Object.values(token)), {
        function: "cron",
      });
      const tokens = watched.test(pathOf(request)) ? token : {};
      await authenticate(request, secrets, platform.env, tokens);
      const api = createApi(createAsk(connect(platform, secrets)));
      return await api.fetch(request);
    } catch (error) {
      if (error instanceof HttpError) {
        if (error.status >= 500) log.error(error.message, { code: error.code });
        return error.toResponse();
      }
      log.error("unexpected error", { error: errorMessage(error) });
      return new HttpError(
        500,
        "internal",
        "Cannot answer: unexpected error",
        "see the function's log",
      ).toResponse();
    }
  };
}

function connect(platform: Platform, secrets: KnownSecrets) {
  const url = platform.env("SUPABASE_URL");
  if (url === undefined) throw misconfigured("SUPABASE_URL is not set");
  return createClient<Database>(url, serviceKey(secrets), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
}
