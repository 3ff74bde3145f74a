/** The Supabase CLI, from npm, for what it can do without Docker. */
import { fileURLToPath } from "node:url";

export const CLI_VERSION = "3.1.0";

/**
 * Runs `supabase <args>` through npx with telemetry off, and returns what it printed.
 *
 * @throws Error with its output when it fails, or when there is no npx.
 */
export async function runSupabase(
  args: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const command = new Deno.Command("npx", {
    args: ["--yes", `supabase@${CLI_VERSION}`, ...args],
    cwd: options.cwd ?? fileURLToPath(new URL("..", import.meta.url)),
    // Without PGSSLMODE it says on stdout that loopback has no TLS.
    env: {
      SUPABASE_TELEMETRY_DISABLED: "1",
      DO_NOT_TRACK: "1",
      NO_COLOR: "1",
      PGSSLMODE: "disable",
      ...options.env,
    },
    stdin: "null",
  });
  const output = await command.output().catch((error: unknown) => {
    throw error instanceof Deno.errors.NotFound
      ? new Error("Cannot run the Supabase CLI: npx is not on the PATH, install Node 20 or later")
      : error;
  });
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!output.success) {
    const said = `${text(output.stdout)}${text(output.stderr)}`.replaceAll(
      /:\/\/[^@\s]*@/g,
      "://…@",
    );
    throw new Error(`Cannot run supabase ${args[0]} ${args[1] ?? ""}: it said:\n${said.trim()}`);
  }
  return text(output.stdout);
}
