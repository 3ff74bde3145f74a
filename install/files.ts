import { join } from "node:path";

/** Texts by their paths, with slashes. */
export type Files = Map<string, string>;

/**
 * All files of a folder and what is in it, or of these rooms of it, by their paths there; none where there is no such
 * folder.
 */
export async function readFiles(folder: string, rooms: readonly string[] = [""]): Promise<Files> {
  const files: Files = new Map();
  const read = async (path: string) => {
    for await (const entry of Deno.readDir(join(folder, path))) {
      const name = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory) {
        if (entry.name !== "node_modules") await read(name);
      } else if (entry.isFile) files.set(name, await Deno.readTextFile(join(folder, name)));
    }
  };
  for (const room of rooms) {
    await read(room).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  return files;
}
