import { createClient } from "@supabase/supabase-js";
import { authenticate, readBearer } from "../../../shared/job/authenticate.ts";
import {
  type KnownSecrets,
  readSecrets,
  readToken,
  serviceKey,
} from "../../../shared/job/credentials.ts";
import type { Database } from "../../../shared/database.types.ts";
import { errorMessage, HttpError, misconfigured } from "../../../shared/job/errors.ts";
import { createLogger, createRedact, type Logger } from "../../../shared/job/logger.ts";
import type { Platform } from "../../../shared/job/platform.ts";
import { createApi, pathOf } from "./api.ts";
import { createCaller } from "./ask.ts";
import { answerPreflight, readConsoleOrigins, withCors } from "./cors.ts";
import { addMcpRoute } from "./mcp.ts";
import { createVerifyUser, looksLikeJwt, type VerifyUser } from "./user.ts";

/**
 * Who watches from outside may see these with `METRICS_TOKEN`: they say how jobs do. Of what jobs did they have the
 * texts of the last run and the last error, and the progress of a run under way.
 */
const watched = /^\/(health(\/[^/]+)?|status|metrics)$/;

/**
 * The handler of the API. It is no job: it has no run in the ledger and answers at once.
 *
 * Pages of `CONSOLE_ORIGINS` may call it from a browser, whose question that is it answers first. The credential is
 * looked at before anything else, the path included. Errors are `{"error": {"code", "message", "hint"?}}`.
 */
export function serveApi(platform: Platform): (request: Request) => Promise<Response> {
  // Made at the first token, and kept with the keys that it fetched.
  let verifyUser: VerifyUser | undefined;
  const verify: VerifyUser = (token) => (verifyUser ??= createVerifyUser(platform))(token);
  return async (request) => {
    let log = createLogger(platform, (text) => text, { function: "cron" });
    let origins: string[] = [];
    try {
      origins = readConsoleOrigins(platform.env);
      const preflight = answerPreflight(request, origins);
      if (preflight !== undefined) return preflight;
      const secrets = readSecrets(platform.env);
      const token = readToken(platform.env, "METRICS_TOKEN");
      log = createLogger(platform, createRedact(secrets, Object.values(token)), {
        function: "cron",
      });
      const tokens = watched.test(pathOf(request)) ? token : {};
      const user = await callerOf(request, platform, secrets, tokens, verify);
      const caller = createCaller(connect(platform, secrets), user);
      const api = createApi(caller);
      addMcpRoute(api, caller, (error) => refusalOf(error, log));
      return withCors(request, origins, notStored(await api.fetch(request)));
    } catch (error) {
      return withCors(request, origins, notStored(refusalOf(error, log).toResponse()));
    }
  };
}

/** The id of the user who asks; undefined for who has a secret. Secrets are compared first. */
async function callerOf(
  request: Request,
  { env }: Platform,
  secrets: KnownSecrets,
  tokens: Record<string, string>,
  verify: VerifyUser,
): Promise<string | undefined> {
  try {
    await authenticate(request, secrets, env, tokens);
    return undefined;
  } catch (error) {
    if (!(error instanceof HttpError) || error.status !== 401) throw error;
    const bearer = readBearer(request);
    if (bearer !== undefined && looksLikeJwt(bearer)) return await verify(bearer);
    throw new HttpError(
      401,
      "unauthorized",
      error.message,
      `${error.hint}, or Authorization: Bearer with the token of a user who is signed in`,
      error.headers,
    );
  }
}

/** No cache keeps an answer, refusals too: a 404 names the jobs, and not every credential is in `Authorization`. */
function notStored(response: Response): Response {
  response.headers.set("cache-control", "no-store");
  return response;
}

/** The error as it is answered. What is the server's fault is logged. */
function refusalOf(error: unknown, log: Logger): HttpError {
  if (error instanceof HttpError) {
    if (error.status >= 500) log.error(error.message, { code: error.code });
    return error;
  }
  log.error("unexpected error", { error: errorMessage(error) });
  return new HttpError(
    500,
    "internal",
    "Cannot answer: unexpected error",
    "see the function's log",
  );
}

function connect(platform: Platform, secrets: KnownSecrets) {
  const url = platform.env("SUPABASE_URL");
  if (url === undefined) throw misconfigured("SUPABASE_URL is not set");
  return createClient<Database>(url, serviceKey(secrets), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
}
