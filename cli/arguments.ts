import { parseArgs, type ParseArgsOptionsConfig } from "node:util";

/**
 * The arguments of a command. `--help` prints `usage` and ends the command with 0; an argument it does not know
 * prints what is wrong and `usage`, and ends it with 2.
 */
export function readArguments<Options extends ParseArgsOptionsConfig>(
  usage: string,
  options: Options,
  { allowPositionals = false } = {},
) {
  try {
    const { values, positionals } = parseArgs({
      args: Deno.args,
      allowPositionals,
      options: { ...options, help: { type: "boolean", short: "h" } as const },
    });
    if (!("help" in values)) return { values, positionals };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message.split(". To specify")[0]}\n\n${usage}`);
    Deno.exit(2);
  }
  console.log(usage);
  Deno.exit(0);
}

/** The one folder that a command is given. Prints `usage` and ends the command with 2 where there is none, or more. */
export function readFolder(positionals: readonly string[], usage: string): string {
  const [folder, ...more] = positionals;
  if (folder !== undefined && more.length === 0) return folder;
  console.error(`Name one project folder\n\n${usage}`);
  Deno.exit(2);
}
