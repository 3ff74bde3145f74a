import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../../shared/database.types.ts";
import { errorMessage, HttpError } from "../../../shared/job/errors.ts";

/** Those that look the right of a user up, instead of answering a route. */
type UserFunction = "scheduler_api_as_user" | "scheduler_api_operator";

/** The functions of the database that answer for the API, one for each route. */
export type ApiFunction = Exclude<
  Extract<keyof Database["public"]["Functions"], `scheduler_api_${string}`>,
  UserFunction
>;

/** Asks one of them; undefined arguments are left out, so that the database's defaults hold. */
export type Ask = (
  name: ApiFunction,
  args?: Record<string, unknown>,
) => Promise<unknown>;

/** The database stops an answer after five seconds, or seven. This is longer, so that its own words arrive. */
const patienceMs = 8_000;

/** A user who is listed. */
export interface Operator {
  name: string;
  role: "viewer" | "operator";
}

/** What the API asks for whoever called it. */
export interface Caller {
  /** For routes that only read. */
  read: Ask;
  /** For routes that act. */
  act: Ask;
  /** Who the user is; refuses one who is not listed. Absent for callers with a secret, who name an author. */
  operator?: () => Promise<Operator>;
}

/**
 * Asks the database, each time in one round trip.
 *
 * @param user For this user of Supabase Auth: the database looks up, in the same transaction, whether they are listed,
 * and as operator where something is done. The author is then their name.
 */
export function createCaller(db: SupabaseClient<Database>, user?: string): Caller {
  const ask = (acts: boolean): Ask => (name, args = {}) => {
    const given = Object.fromEntries(
      Object.entries(args).filter(([, value]) => value !== undefined),
    );
    return user === undefined ? call(db, name, given) : call(db, "scheduler_api_as_user", {
      p_user_id: user,
      p_acts: acts,
      p_door: name,
      p_args: given,
    });
  };
  const caller = { read: ask(false), act: ask(true) };
  return user === undefined ? caller : {
    ...caller,
    operator: async () => await call(db, "scheduler_api_operator", { p_user_id: user }) as Operator,
  };
}

async function call(
  db: SupabaseClient<Database>,
  name: ApiFunction | UserFunction,
  args: Record<string, unknown>,
): Promise<unknown> {
  const { data, error } = await db.rpc(name, args as never)
    .abortSignal(AbortSignal.timeout(patienceMs));
  if (error !== null) throw refusal(error);
  return data;
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
    case "SD015":
      return new HttpError(404, "unknown_channel", message, hint);
    case "SD016":
    case "SD207":
      return new HttpError(403, "forbidden", message, hint);
    case "SD101":
    case "SD104":
    case "SD105":
    case "SD201":
    case "SD202":
      return new HttpError(409, "refused", message, hint);
    case "22023":
    case "22007":
    case "22008":
    case "22009":
    case "22P02":
    case "22P05":
      return new HttpError(400, "invalid_input", message, hint);
  }
  return new HttpError(
    503,
    "database_unavailable",
    message,
    "is the database up, and are the migrations applied?",
  );
}
