/** Where the Postgres servers of the tests keep their files: in memory, where this machine has the room. */
import { statfs } from "node:fs/promises";

const MEMORY = "/dev/shm";
const NEEDED_BYTES = 2 * 2 ** 30;

/** A temporary directory that the OS user of Postgres can enter. */
export async function makeServerDirectory(prefix: string): Promise<string> {
  const parent = await memoryDirectory();
  const directory = await Deno.makeTempDir({ prefix, ...(parent ? { dir: parent } : {}) });
  await Deno.chmod(directory, 0o755);
  return directory;
}

/**
 * Making and dropping a database of 650 files for each test costs a disk more than the tests themselves. TMPDIR, when
 * set, decides. No functions can lie here: Deno reads below /dev only with all permissions.
 */
export async function memoryDirectory(): Promise<string | undefined> {
  if (Deno.build.os !== "linux" || Deno.env.get("TMPDIR") !== undefined) return undefined;
  try {
    const { bavail, bsize } = await statfs(MEMORY);
    const room = Math.min(bavail * bsize, Deno.systemMemoryInfo().available);
    return room >= NEEDED_BYTES ? MEMORY : undefined;
  } catch {
    return undefined;
  }
}
