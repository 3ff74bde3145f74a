/**
 * `deno task lint-database --postgres-bin DIR`: what the Supabase CLI finds in the migrated database at warn or
 * above. `db lint` needs a Postgres that has the extension plpgsql_check.
 */
import postgres from "postgres";
import { withScratchDatabase } from "../local/scratch-database.ts";
import { runSupabase } from "../local/supabase-cli.ts";
import { readArguments } from "./arguments.ts";

const USAGE = `Show what the Supabase CLI finds in the migrated database at warn or above.

deno task lint-database [options]

  --postgres-bin DIR  a Postgres that has the extension plpgsql_check (default: the one from npm, which has not)
  --help              this text`;

const { values } = readArguments(USAGE, { "postgres-bin": { type: "string" } });

const checks = [
  ["db", "lint", "--schema", "public,scheduler", "--level", "warning", "--fail-on", "warning"],
  ["db", "advisors", "--level", "warn", "--fail-on", "warn"],
];

try {
  await withScratchDatabase(async ({ adminUrl }) => {
    // The CLI creates it as the role postgres, which only Supabase's own servers allow.
    const admin = postgres(adminUrl, { max: 1 });
    await admin`create extension plpgsql_check with schema pg_catalog`;
    await admin.end();
    for (const check of checks) {
      const found = await runSupabase([...check, `--remote=${adminUrl}`]);
      console.log(`supabase ${check[0]} ${check[1]}: ${found.trim() || "nothing found"}`);
    }
  }, { postgresBin: values["postgres-bin"] });
} catch (error) {
  console.error((error as Error).message);
  Deno.exit(1);
}
