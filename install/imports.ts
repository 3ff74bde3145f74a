/** What a module imports, as the deploy bundler finds it: by reading. */
import { dirname, join, relative } from "node:path/posix";

const IMPORT = /(^\s*(?:import|export)\b[^"';]*?from\s+|^\s*import\s+)"([^"]+)"/gm;

/** The specifiers of a module's imports, in order. */
export function importsOf(source: string): string[] {
  return [...source.matchAll(IMPORT)].map((match) => match[2]!);
}

/** The paths of the files that a module at `path` imports. */
export function importedPaths(path: string, source: string): string[] {
  return importsOf(source)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => join(dirname(path), specifier));
}

/** The module as it must read when it and what it imports have moved. `moved` says where a path went. */
export function rewriteImports(
  path: string,
  source: string,
  moved: (path: string) => string,
): string {
  return source.replace(IMPORT, (whole, before: string, specifier: string) => {
    if (!specifier.startsWith(".")) return whole;
    const target = relative(dirname(moved(path)), moved(join(dirname(path), specifier)));
    return `${before}"${target.startsWith(".") ? target : `./${target}`}"`;
  });
}
