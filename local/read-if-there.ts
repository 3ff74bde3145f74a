/** The text of a file; undefined where there is none. */
export async function readIfThere(path: string | URL): Promise<string | undefined> {
  return await ifThere(() => Deno.readTextFile(path));
}

/** The names in a folder; undefined where there is none. */
export async function namesIn(folder: string): Promise<string[] | undefined> {
  return await ifThere(async () =>
    (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name)
  );
}

async function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}
