/** The environment that a person gives to the functions, in a file as `supabase functions serve` reads it. */
import { parseEnv } from "node:util";

/** What the stack makes itself, and the names that are Supabase's alone. */
const RESERVED = /^(SUPABASE_|CRON_SECRET$)/;

/**
 * Reads lines like `NAME=value`. Reserved names are skipped, each with a line to `onProgress`. A file that is
 * not there is empty, unless it is `required`.
 */
export async function readFunctionsEnv(
  file: string,
  options: { required?: boolean; onProgress?(message: string): void } = {},
): Promise<Record<string, string>> {
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    if (options.required) throw new Error(`Cannot read ${file}: there is no such file`);
    return {};
  }
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseEnv(text))) {
    if (RESERVED.test(name)) {
      options.onProgress?.(`Refused ${name} of ${file}: the stack sets it itself`);
    } else if (value !== undefined) {
      env[name] = value;
    }
  }
  return env;
}
