import { resolve } from "node:path";

/** A path as one typed it: `deno task` and npx run elsewhere than where one typed, and say where that was. */
export function typedPath(path: string, env: (name: string) => string | undefined): string {
  return resolve(env("INIT_CWD") ?? ".", path);
}
