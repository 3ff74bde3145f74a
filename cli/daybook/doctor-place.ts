/** The database of a verb that needs the database itself. */
import { CommandError, exitCodes, type Io } from "./io.ts";
import type { PlaceOptions } from "./open-source.ts";
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
