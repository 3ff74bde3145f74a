/** The Supabase CLI of the person who types: the one on the PATH, else the one from npm. */
import { CLI_VERSION } from "../../local/supabase-cli.ts";

export interface CliOutput {
  success: boolean;
  stdout: string;
  /** Both streams, without the values of the environment that it was given. */
  said: string;
}

const quiet = { SUPABASE_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", NO_COLOR: "1" };

/** Runs `supabase <args>`; undefined where there is neither it nor npx. */
export async function trySupabaseCli(
  args: string[],
  env: Record<string, string> = {},
  cwd?: string,
): Promise<CliOutput | undefined> {
  const ways: [string, string[]][] = [
    ["supabase", args],
    ["npx", ["--yes", `supabase@${CLI_VERSION}`, ...args]],
  ];
  for (const [command, all] of ways) {
    try {
      const { success, stdout, stderr } = await new Deno.Command(command, {
        args: all,
        env: { ...quiet, ...env },
        stdin: "null",
        ...(cwd === undefined ? {} : { cwd }),
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      let said = `${text(stdout)}${text(stderr)}`.replaceAll(/:\/\/[^@\s]*@/g, "://…@").trim();
      for (const value of Object.values(env)) said = said.replaceAll(value, "…");
      return { success, stdout: text(stdout), said };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

/** Runs it and returns what it printed. @throws Error with its output when it fails or is not there. */
export async function runSupabaseCli(
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const output = await trySupabaseCli(args, env);
  if (output === undefined) {
    throw new Error("Cannot run the Supabase CLI: neither supabase nor npx is on the PATH");
  }
  if (!output.success) {
    throw new Error(`Cannot run supabase ${args.slice(0, 2).join(" ")}: it said:\n${output.said}`);
  }
  return output.stdout;
}
