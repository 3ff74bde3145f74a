import { join } from "node:path";

/** Every file below these directories with the time of its last change: another text when any was edited, added or removed. */
export function fileTimes(directories: string[]): string {
  return directories.flatMap((directory) =>
    [...Deno.readDirSync(directory)].map((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory
        ? fileTimes([path])
        : `${path} ${Deno.statSync(path).mtime?.getTime()}`;
    }).sort()
  ).join("\n");
}
