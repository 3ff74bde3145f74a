import { join } from "node:path";

/** When a file below any of these directories was last changed, in milliseconds since the epoch; 0 without files. */
export function newestChange(directories: string[]): number {
  let newest = 0;
  for (const directory of directories) {
    for (const entry of Deno.readDirSync(directory)) {
      const path = join(directory, entry.name);
      const changed = entry.isDirectory
        ? newestChange([path])
        : Deno.statSync(path).mtime?.getTime() ?? 0;
      newest = Math.max(newest, changed);
    }
  }
  return newest;
}
