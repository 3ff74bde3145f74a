/** How another command finds the stack that `deno task start` runs: its database URL, kept beside its data. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where `deno task start` keeps its data unless it is told otherwise. */
export const DEFAULT_DATA_DIRECTORY = fileURLToPath(new URL("../.daybook", import.meta.url));

const file = (dataDirectory: string) => join(dataDirectory, "database-url");

export async function announceStack(dataDirectory: string, databaseUrl: string): Promise<void> {
  await Deno.writeTextFile(file(dataDirectory), databaseUrl, { mode: 0o600 });
}

export async function withdrawStack(dataDirectory: string): Promise<void> {
  await Deno.remove(file(dataDirectory)).catch(() => {});
}

/**
 * The database that a command works on: the one it is told, else that of the running stack. Never one of the
 * environment: what a shell still exports may be a database that nobody has in mind.
 *
 * @throws Error when there is neither.
 */
export async function databaseUrl(told: string | undefined): Promise<string> {
  if (told !== undefined) return told;
  try {
    return await Deno.readTextFile(file(DEFAULT_DATA_DIRECTORY));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(
      "Cannot find a running stack: start one with deno task start, or give --database-url",
    );
  }
}
