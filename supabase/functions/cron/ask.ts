import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../../shared/database.types.ts";
import { errorMessage, HttpError } from "../../../shared/job/errors.ts";

/** The functions of the database that answer for the API, one for each route. */
export type ApiFunction = Extract<
  keyof Database["public"]["Functions"],
  `scheduler_api_${string}`
>;

/** Asks one of them; undefined arguments are left out, so that the database's defaults hold. */
export type Ask = (
  name: ApiFunction,
  args?: Record<string, unknown>,
) => Promise<unknown>;

/** The database stops an answer after five seconds. This is longer, so that its own words arrive. */
const patienceMs = 8_000;

/** Asks the database in one round trip. */
export function createAsk(db: SupabaseClient<Database>): Ask {
  return async (name, args = {}) => {
    const given = Object.fromEntries(
      Object.entries(args).filter(([, value]) => value !== undefined),
    );
    const { data, error } = await db.rpc(name, given as never)
      .abortSignal(AbortSignal.timeout(patienceMs));
    if (error !== null) throw refusal(error);
    return data;
  };
}

/** An error as Postgres gives it. */
export interface DatabaseError {
  code?: string;
  message: string;
  hint?: string | null | undefined;
}

/** What the database refuses, as an answer; its own words name the fix. */
export function refusal(error: DatabaseError): HttpError {
  const message = `Cannot answer: ${errorMessage(error)}`.slice(0, 2000);
  const hint = error.hint ?? undefined;
  switch (error.code) {
    case "SD001":
      return new HttpError(404, "unknown_job", message, hint);
    case "SD002":
      return new HttpError(404, "unknown_run", message, hint);
    case "SD014":
      return new HttpError(404, "unknown_group", message, hint);
    case "SD101":
    case "SD104":
    case "SD201":
    case "SD202":
      return new HttpError(409, "refused", message, hint);
    case "22023":
    case "22007":
    case "22008":
    case "22P02":
      return new HttpError(400, "invalid_input", message, hint);
  }
  return new HttpError(
    503,
    "database_unavailable",
    message,
    "is the database up, and are the migrations applied?",
  );
}
