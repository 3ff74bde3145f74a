/** How another command finds the stack that `deno task start` runs: its database URL, kept beside its data. */
import { dirname, join } from "node:path";
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
 * @throws Error when there is neither, and for an empty one.
 */
export async function databaseUrl(told: string | undefined): Promise<string> {
  if (told?.trim() === "") {
    throw new Error("--database-url is empty: is the variable set that it is made of?");
  }
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

/**
 * Takes the data directory for one start; the system gives it back when the process ends, however that is.
 *
 * @throws Error when another start has it.
 */
export async function claimData(dataDirectory: string): Promise<Deno.FsFile> {
  // Beside the directory, which --fresh removes.
  await Deno.mkdir(dirname(dataDirectory), { recursive: true });
  const claim = await Deno.open(`${dataDirectory}.lock`, { create: true, write: true });
  if (await claim.tryLock(true)) return claim;
  claim.close();
  throw new Error(
    `Cannot start: another start is at work on ${dataDirectory}; stop it first, or give another ` +
      "directory with --data",
  );
}
