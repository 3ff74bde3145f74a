/**
 * `deno task types`: writes shared/database.types.ts from the migrations, with the generator of the Supabase CLI
 * (run by npx). `--check` changes nothing and fails when the file is not current.
 */
import { join } from "node:path";
import postgres from "postgres";
import { bootstrapDatabase } from "../local/bootstrap.ts";
import { freePort } from "../local/free-port.ts";
import { applyMigrations, readMigrations } from "../local/migrations.ts";
import { preparePostgres } from "../local/postgres.ts";
import { runSupabase } from "../local/supabase-cli.ts";

const file = new URL("../shared/database.types.ts", import.meta.url);

async function generate(): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "daybook-types-" });
  await Deno.chmod(directory, 0o755);
  const password = crypto.randomUUID();
  const server = await preparePostgres({
    dataDirectory: join(directory, "data"),
    port: freePort(),
    adminPassword: password,
    pgCron: false,
    settings: { fsync: "off" },
  });
  try {
    await server.start();
    const admin = postgres(server.adminUrl(), { max: 1, onnotice: () => {} });
    await bootstrapDatabase(admin, { password });
    await admin.end();
    const url = new URL(server.adminUrl());
    url.username = "postgres";
    const sql = postgres(url.href, { max: 1, onnotice: () => {} });
    await applyMigrations(sql, await readMigrations());
    await sql.end();
    return await format(
      await runSupabase(["gen", "types", "--schema", "public", `--remote=${url.href}`]),
    );
  } finally {
    await server.stop();
    await Deno.remove(directory, { recursive: true });
  }
}

async function format(source: string): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "ts", "-"],
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

const types = await generate();
if (!Deno.args.includes("--check")) {
  await Deno.writeTextFile(file, types);
  console.log("shared/database.types.ts is written");
} else if (await Deno.readTextFile(file) !== types) {
  console.error("shared/database.types.ts is not current: run deno task types");
  Deno.exit(1);
} else {
  console.log("shared/database.types.ts is current");
}
