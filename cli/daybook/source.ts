/** Where the answers come from: the API of a project, or its database. Both answer the same. */
import { alikeNames } from "../../local/alike-names.ts";
import { CommandError, type ExitCode, exitCodes } from "./io.ts";

/** Arguments of a route that reads; undefined ones are left out. */
export type Query = Record<string, string | undefined>;

export interface Source {
  /** Of what it is, for messages: a URL without a password. */
  readonly place: string;
  /** Whether whom it asks knows by itself who acts: a signed-in user. */
  readonly knowsAuthor: boolean;
  /**
   * What the route of docs/api.md answers to GET.
   *
   * @throws CommandError for every answer that is an error, and when there is none.
   */
  read<Answer>(route: string, query?: Query): Promise<Answer>;
  /** What the route answers to POST with that body; throws as `read` does. */
  act<Answer>(route: string, body: Record<string, unknown>): Promise<Answer>;
  close(): Promise<void>;
}

interface Problem {
  code: string;
  message: string;
  hint?: string;
}

/** The answer of a route; an error of the API is thrown, in its own words. */
export function answerOf(status: number, body: unknown): unknown {
  if (status < 400) return body;
  const problem = problemOf(body);
  // `health` answers 503 when something is stalled: that is an answer.
  if (problem === undefined) return body;
  const message = problem.message.replace(/^Cannot answer: /, "");
  const hint = problem.code === "unknown_job"
    ? suggestJob(message, problem.hint ?? "")
    : problem.hint;
  throw new CommandError(exitCodeOf(status), sentence(message), hint);
}

/** The database names all its jobs, which may be a thousand: only those that are like the one asked for are shown. */
function suggestJob(message: string, hint: string): string {
  const asked = /named '(.*)'/.exec(message)?.[1] ?? "";
  const names = /the jobs are: (.*)$/.exec(hint)?.[1]?.split(", ") ?? [];
  const alike = alikeNames(asked, names);
  if (alike.length === 0) return "deno task daybook status lists the jobs";
  return `did you mean ${alike.join(" or ")}?`;
}

/** The error of a body that is one: `{"error": {"code", "message", "hint"?}}`. */
export function problemOf(body: unknown): Problem | undefined {
  if (typeof body !== "object" || body === null || !("error" in body)) return undefined;
  const { error } = body as { error: Partial<Problem> | null };
  if (typeof error?.code !== "string" || typeof error.message !== "string") return undefined;
  return error as Problem;
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status >= 500) return exitCodes.unreachable;
  return status === 409 || status === 403 ? exitCodes.refused : exitCodes.usage;
}

function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
