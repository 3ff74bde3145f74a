import { createHash } from "node:crypto";
import { join } from "node:path";

/**
 * A directory that every OS user can enter, the same one each time for one data directory. It is needed
 * where we are root and the project lies where the user postgres may not go.
 *
 * Its name can be foretold, so one that another user made first is refused.
 */
export async function reachableDirectory(dataDirectory: string): Promise<string> {
  const hash = createHash("sha256").update(dataDirectory).digest("hex").slice(0, 16);
  const directory = join("/var/tmp", `daybook-${hash}`);
  await Deno.mkdir(directory, { mode: 0o755 }).catch((error) => {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  });
  const info = await Deno.lstat(directory);
  if (!info.isDirectory || info.uid !== Deno.uid()) {
    throw new Error(`Cannot use ${directory}: it must be a directory that belongs to this user`);
  }
  await Deno.chmod(directory, 0o755);
  return directory;
}

/** The directory above if it was ever made: what --fresh has to remove as well. */
export async function existingReachableDirectory(
  dataDirectory: string,
): Promise<string | undefined> {
  const hash = createHash("sha256").update(dataDirectory).digest("hex").slice(0, 16);
  const directory = join("/var/tmp", `daybook-${hash}`);
  try {
    await Deno.lstat(directory);
    return directory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
