/** The database of a verb: which one it is, how it is reached, and what is said where it is not. */
import postgres, { type Sql } from "postgres";
import { errorMessage } from "../../shared/job/errors.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { assertOnePlace, type PlaceOptions } from "./place.ts";
import { readProfile } from "./profile.ts";

/** @throws CommandError where none is named, nor a stack is running. */
export async function databaseUrlOf(
  options: PlaceOptions,
  io: Pick<Io, "env" | "stackDatabase">,
): Promise<string> {
  const url = await databaseUrlIfAny(options, io);
  if (url !== undefined) return url;
  throw new CommandError(
    options.url === undefined ? exitCodes.unreachable : exitCodes.usage,
    "This verb needs the database",
    "give --db-url, or --profile with db_url_env, or start a stack with deno task start",
  );
}

/** The database that is named, or the running stack's; undefined where there is neither. */
export async function databaseUrlIfAny(
  options: PlaceOptions,
  io: Pick<Io, "env" | "stackDatabase">,
): Promise<string | undefined> {
  assertOnePlace(options);
  if (options.dbUrl !== undefined) return options.dbUrl;
  if (options.profile !== undefined) {
    const { db_url_env: variable } = await readProfile(options.profile, io);
    if (variable === undefined) return undefined;
    const url = io.env(variable);
    if (url) return url;
    throw new CommandError(
      exitCodes.usage,
      `The profile ${options.profile} needs ${variable}, which is not set`,
    );
  }
  if (options.url !== undefined) return undefined;
  return await io.stackDatabase().catch(() => undefined);
}

/**
 * Connects when it is first asked. Statements are not prepared: a pooler in transaction mode gives each transaction
 * another connection.
 *
 * @param name What pg_stat_activity shows.
 * @throws CommandError for what is no URL of a database. The client's own error shows the URL with its password, and an
 *   empty URL would lead it to the database of the environment.
 */
export function connectTo(
  url: string,
  name: string,
  { max = 1, statementTimeoutMs, onNotice = () => {}, onClose = () => {} }: {
    max?: number;
    statementTimeoutMs?: number;
    onNotice?: (message: string) => void;
    onClose?: () => void;
  } = {},
): Sql {
  hostOf(url);
  return postgres(url, {
    max,
    prepare: false,
    onnotice: ({ message }) => onNotice(message ?? ""),
    onclose: onClose,
    connect_timeout: 10,
    connection: {
      application_name: name,
      ...(statementTimeoutMs === undefined ? {} : { statement_timeout: statementTimeoutMs }),
    },
  });
}

/** Host, port and database, for messages: no user, no password, no parameters. */
export function hostOf(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw new CommandError(
      exitCodes.usage,
      "Cannot use the database's URL: it must be postgres://…",
      "postgres://postgres:<password>@<host>:5432/postgres; in a password %23 is #, %2F is /, %40 is @",
    );
  }
  return `postgres://${parsed.host}${parsed.pathname}`;
}

/**
 * Whether an error of a query is that of the way to the database: no connection, no right to connect, no such database,
 * shutting down, too many connections.
 */
export function isUnreachable(error: unknown): boolean {
  return !(error instanceof postgres.PostgresError) || /^(28|3D|53|57P|08)/.test(error.code);
}

export function unreachable(
  url: string,
  error: unknown,
  hint = "is the URL right, and does the database run?",
): CommandError {
  return new CommandError(
    exitCodes.unreachable,
    `Cannot reach ${hostOf(url)}: ${errorMessage(error)}`,
    hint,
  );
}
