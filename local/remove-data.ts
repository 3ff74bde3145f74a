import { join } from "node:path";
import { refuseLiveServer } from "./cluster-files.ts";
import { existingReachableDirectory } from "./reachable-directory.ts";

/** Throws the data, keys and logs of a stack away. Throws when it is running. */
export async function removeData(
  dataDirectory: string,
  onProgress: (message: string) => void,
): Promise<void> {
  const directories = [dataDirectory];
  const reachable = await existingReachableDirectory(dataDirectory);
  if (reachable !== undefined) directories.push(reachable);
  for (const directory of directories) {
    for (const cluster of await clusters(directory)) await refuseLiveServer(cluster);
  }
  for (const directory of directories) {
    try {
      await Deno.remove(directory, { recursive: true });
      onProgress(`Threw away ${directory}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

async function clusters(directory: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of Deno.readDir(directory)) {
      if (/^postgres-\d+$/.test(entry.name)) found.push(join(directory, entry.name));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found;
}
