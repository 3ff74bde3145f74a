/**
 * `deno task types`: writes shared/database.types.ts from supabase/sql, with the generator of the Supabase CLI (run by
 * npx), and supabase/schedules.schema.json from the arguments of register_job. `--check` changes nothing and fails when a
 * file is not current.
 */
import { fileURLToPath } from "node:url";
import { readJobArguments } from "../local/job-arguments.ts";
import { jsonSchemaOf } from "../local/schedules.ts";
import { withScratchDatabase } from "../local/scratch-database.ts";
import { runSupabase } from "../local/supabase-cli.ts";
import { readArguments } from "./arguments.ts";

const USAGE =
  `Generate shared/database.types.ts and supabase/schedules.schema.json from supabase/sql.

deno task types [options]

  --check  change nothing; fail when a file is not current
  --help   this text`;

const { values } = readArguments(USAGE, { check: { type: "boolean" } });

async function format(extension: string, source: string): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", extension, "-"],
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = command.stdin.getWriter();
  await writer.write(new TextEncoder().encode(source));
  await writer.close();
  const output = await command.output();
  if (!output.success) throw new Error("Cannot format what was generated: deno fmt refused it");
  return new TextDecoder().decode(output.stdout);
}

const files = {
  "supabase/schedules.schema.json": await format(
    "json",
    JSON.stringify(jsonSchemaOf(await readJobArguments())),
  ),
  "shared/database.types.ts": await format(
    "ts",
    await withScratchDatabase(({ url }) =>
      runSupabase(["gen", "types", "--schema", "public", `--remote=${url}`])
    ),
  ),
};
for (const [path, text] of Object.entries(files)) {
  const file = new URL(`../${path}`, import.meta.url);
  if (!values.check) {
    await Deno.writeTextFile(file, text);
    console.log(`${path} is written`);
  } else if (await Deno.readTextFile(file) !== text) {
    console.error(`${path} is not current: run deno task types`);
    Deno.exit(1);
  } else {
    console.log(`${path} is current`);
  }
}
