/**
 * `deno task types`: writes shared/database.types.ts from supabase/sql, with the generator of the Supabase CLI
 * (run by npx). `--check` changes nothing and fails when the file is not current.
 */
import { fileURLToPath } from "node:url";
import { withScratchDatabase } from "../local/scratch-database.ts";
import { runSupabase } from "../local/supabase-cli.ts";
import { readArguments } from "./arguments.ts";

const USAGE = `Generate shared/database.types.ts from supabase/sql.

deno task types [options]

  --check  change nothing; fail when the file is not current
  --help   this text`;

const { values } = readArguments(USAGE, { check: { type: "boolean" } });

const file = new URL("../shared/database.types.ts", import.meta.url);

async function format(source: string): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "ts", "-"],
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = command.stdin.getWriter();
  await writer.write(new TextEncoder().encode(source));
  await writer.close();
  const output = await command.output();
  if (!output.success) throw new Error("Cannot format the types: deno fmt refused them");
  return new TextDecoder().decode(output.stdout);
}

const types = await format(
  await withScratchDatabase(({ url }) =>
    runSupabase(["gen", "types", "--schema", "public", `--remote=${url}`])
  ),
);
if (!values.check) {
  await Deno.writeTextFile(file, types);
  console.log("shared/database.types.ts is written");
} else if (await Deno.readTextFile(file) !== types) {
  console.error("shared/database.types.ts is not current: run deno task types");
  Deno.exit(1);
} else {
  console.log("shared/database.types.ts is current");
}
