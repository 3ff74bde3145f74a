/**
 * Named places to ask, in a file outside the repository. It holds no secret: it names the variables of the environment
 * that hold them.
 */
import { parse } from "@decimalturn/toml-patch";
import { join } from "node:path";
import { z } from "zod";
import { CommandError, exitCodes, type Io } from "./io.ts";

/** In capitals alone, so that a secret that was pasted in is seen to be none of it. */
const variable = z.string().regex(
  /^[A-Z_][A-Z0-9_]*$/,
  "must be the name of a variable, in capitals",
);

const profileShape = z.strictObject({
  url: z.string().optional(),
  db_url_env: variable.optional(),
  cron_secret_env: variable.optional(),
  service_key_env: variable.optional(),
  token_env: variable.optional(),
  author: z.string().regex(/\S/, "must not be blank").optional(),
}).refine(
  ({ url, db_url_env }) => (url === undefined) !== (db_url_env === undefined),
  "needs url or db_url_env, one of them",
).refine(
  ({ db_url_env, cron_secret_env, service_key_env, token_env }) =>
    [db_url_env, cron_secret_env, service_key_env, token_env]
      .filter((name) => name !== undefined).length === 1,
  "needs one of db_url_env, cron_secret_env, service_key_env, token_env",
);

export type Profile = z.output<typeof profileShape>;

/** Where the file is: `$XDG_CONFIG_HOME/daybook/config.toml`, else `~/.config/daybook/config.toml`. */
export function profileFile(io: Pick<Io, "env">): string {
  const home = io.env("XDG_CONFIG_HOME") ||
    join(io.env("HOME") ?? io.env("USERPROFILE") ?? "", ".config");
  return join(home, "daybook", "config.toml");
}

/**
 * The profile of that name.
 *
 * @throws CommandError where there is none, or the file is wrong: also when somebody else may write it, who could
 *   then send a secret to a place of theirs.
 */
export async function readProfile(name: string, io: Pick<Io, "env">): Promise<Profile> {
  const path = profileFile(io);
  const refuse = (why: string, hint?: string) =>
    new CommandError(exitCodes.usage, `Cannot use the profile ${name}: ${why}`, hint);
  let text: string;
  try {
    const { mode } = await Deno.stat(path);
    if (mode !== null && (mode & 0o022) !== 0) {
      throw refuse(`others may write ${path}`, `chmod go-w ${path}`);
    }
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw refuse(`there is no ${path}`, "docs/command-line.md shows one");
  }
  let profiles: Record<string, unknown>;
  try {
    profiles = parse(text);
  } catch (error) {
    // The words of the parser show the line, which may hold what should not be shown.
    const line = (error as { line?: unknown }).line;
    throw refuse(`${path} is no TOML${typeof line === "number" ? `: see line ${line}` : ""}`);
  }
  if (!Object.hasOwn(profiles, name)) {
    throw refuse(
      `${path} has none of that name`,
      `the profiles are: ${Object.keys(profiles).join(", ") || "none yet"}`,
    );
  }
  const { success, data, error } = profileShape.safeParse(profiles[name]);
  if (success) return data;
  const issues = error.issues.map((issue) => {
    if (issue.code !== "unrecognized_keys") return [...issue.path, issue.message].join(" ");
    return `${
      issue.keys.join(", ")
    } may not be there: it holds no secret, only the name of the variable that does`;
  });
  throw refuse(`${path}: ${issues.join("; ")}`, "docs/command-line.md shows one");
}

/** Who acts, as the profile of that name says; undefined where it, or there, is none. */
export async function authorOfProfile(
  name: string | undefined,
  io: Pick<Io, "env">,
): Promise<string | undefined> {
  return name === undefined ? undefined : (await readProfile(name, io)).author;
}
