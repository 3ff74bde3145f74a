import { version } from "../version.ts";

/**
 * Errors with an answer: what a handler refuses, as an HTTP status, a stable code and words that name the fix.
 */
export class HttpError extends Error {
  override readonly name = "HttpError";

  /**
   * @param status HTTP status of the answer.
   * @param code Stable, machine-readable (`unauthorized`, `invalid_input`, …).
   * @param hint What would be right.
   * @param headers Further headers of the answer.
   */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint?: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }

  /** The answer: `{"error": {"code", "message", "hint"?}}`. */
  toResponse(): Response {
    const { code, message, hint } = this;
    return Response.json(
      { error: { code, message, ...(hint === undefined ? {} : { hint }) } },
      { status: this.status, headers: this.headers },
    );
  }
}

/** A 500: this function cannot serve anybody before its environment is put right. */
export function misconfigured(what: string): HttpError {
  return new HttpError(
    500,
    "misconfigured",
    `Cannot serve: ${what}`,
    "set it with supabase secrets set, see docs/operations.md",
  );
}

/**
 * A 405. It is for callers that were let in, and tells them of which version of Daybook the function is.
 *
 * @param what What is refused: `Cannot run the job: method must be POST, got PUT`.
 * @param allow What the function takes, as the header of that name has it.
 * @param headers Further headers of the answer.
 */
export function methodNotAllowed(
  what: string,
  allow: string,
  headers: Record<string, string> = {},
): HttpError {
  return new HttpError(405, "method_not_allowed", what, undefined, {
    allow,
    "x-daybook-version": version,
    ...headers,
  });
}

/** Thrown by a job when trying again would not help: the run fails and is not retried. */
export class PermanentError extends Error {
  override readonly name = "PermanentError";
}

/** Thrown by `Budget.take`: the tokens are there only later. The run ends as deferred, and is resumed then. */
export class DeferredError extends Error {
  override readonly name = "DeferredError";

  constructor(readonly budget: string, readonly until: Date) {
    super(`the budget ${budget} has too few tokens until ${until.toISOString()}`);
  }
}

/** Why a job's `AbortSignal` fired. */
export class StopError extends Error {
  override readonly name = "StopError";

  constructor(readonly kind: "deadline" | "cancelled" | "shutdown", message: string) {
    super(message);
  }
}

/** The words of whatever was thrown. */
export function errorMessage(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  if (typeof error === "object" && error !== null && "message" in error) {
    return String(error.message);
  }
  return String(error);
}
