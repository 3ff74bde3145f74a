/**
 * Postgres refuses to run as root. Where we are root it runs as the user `postgres`, which is made when the
 * machine has none; everywhere else it runs as whoever we are.
 */

export interface OsUser {
  uid: number;
  gid: number;
}

/** The user that Postgres must run as, or undefined when that is the one we are. */
export async function postgresUser(
  onProgress: (message: string) => void,
): Promise<OsUser | undefined> {
  if (Deno.uid() !== 0) return undefined;
  const existing = await lookUp("postgres");
  if (existing) return existing;
  onProgress("Making the OS user postgres: Postgres does not run as root");
  if (!(await succeeds("getent", ["group", "postgres"]))) await run("groupadd", ["postgres"]);
  await run("useradd", ["--gid", "postgres", "--no-create-home", "postgres"]);
  const made = await lookUp("postgres");
  if (!made) throw new Error("Cannot find the OS user postgres after making it");
  return made;
}

/** True when this user can run `file`, whatever lies on the way to it. */
export function canExecute(user: OsUser, file: string): Promise<boolean> {
  return succeeds("/bin/sh", ["-c", 'test -x "$1" && test -r "$1"', "sh", file], user);
}

/** True when this user can enter `directory`. */
export function canEnter(user: OsUser, directory: string): Promise<boolean> {
  return succeeds("/bin/sh", ["-c", 'cd "$1"', "sh", directory], user);
}

async function lookUp(name: string): Promise<OsUser | undefined> {
  const uid = await read("id", ["-u", name]);
  const gid = await read("id", ["-g", name]);
  return uid === undefined || gid === undefined
    ? undefined
    : { uid: Number(uid), gid: Number(gid) };
}

async function read(command: string, args: string[]): Promise<string | undefined> {
  const output = await new Deno.Command(command, { args, stderr: "null" }).output();
  return output.success ? new TextDecoder().decode(output.stdout).trim() : undefined;
}

async function succeeds(command: string, args: string[], user?: OsUser): Promise<boolean> {
  try {
    const output = await new Deno.Command(command, {
      args,
      cwd: "/",
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
      stdout: "null",
      stderr: "null",
      ...(user ?? {}),
    }).output();
    return output.success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function run(command: string, args: string[]): Promise<void> {
  const output = await new Deno.Command(command, { args }).output();
  if (output.success) return;
  const reason = new TextDecoder().decode(output.stderr).trim();
  throw new Error(`Cannot make the OS user postgres: ${command} said: ${reason}`);
}
