import { PermanentError } from "./job/errors.ts";

/**
 * What the database refuses for a reason that stays (SQLSTATE, or PostgREST's own codes): arguments and settings (22),
 * constraints (23), rights and what is not there (42), a function's own refusal (P0; SD0, SD2 and SD3 of docs/errors.md);
 * a request, a schema or a token that PostgREST cannot use (PGRST1 to 3). Not: no connection, a lock, a statement that
 * took too long, a restart, work that has to end first (SD1).
 */
const permanentCodes = /^(22|23|42|P0|SD[023]|PGRST[123])/;

/**
 * An error for what a call of the database came to: a PermanentError when trying again would not help.
 *
 * @param what What could not be done: "sweep the connections".
 */
export function databaseError(
  what: string,
  error: { code?: string; message: string },
): Error {
  // The scheduler's own refusals say themselves what could not be done.
  const message = error.message.startsWith(`cannot ${what.split(" ")[0]} `)
    ? `C${error.message.slice(1)}`
    : `Cannot ${what}: ${error.message}`;
  return permanentCodes.test(error.code ?? "")
    ? new PermanentError(message)
    : new Error(message, { cause: error });
}
