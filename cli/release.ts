/** `deno task release`: makes supabase/migrations of supabase/sql. See `--help`. */
import { readReleases, readVersion, writeMigrations, writeReleases } from "../local/releases.ts";
import { readArguments } from "./arguments.ts";

const USAGE = `Make the migrations of the version in deno.json out of supabase/sql.

deno task release [options]

  --date DAY  release it: from then on its migrations stay as they are
  --help      this text

Where a table or data changes, write the statements into supabase/sql/<pack>/changes/<version>.sql first;
functions that changed are found. The result is compared with what supabase/sql makes.`;

const { values } = readArguments(USAGE, { date: { type: "string" } });
const version = await readVersion();
if (values.date !== undefined && !/^\d{4}-\d\d-\d\d$/.test(values.date)) {
  console.error(`--date must be a day like 2026-12-01, got ${values.date}`);
  Deno.exit(2);
}
try {
  for (const file of await writeMigrations(version, new Date())) console.log(file);
  if (values.date !== undefined) {
    const releases = await readReleases();
    releases.at(-1)!.date = values.date;
    await writeReleases(releases);
    console.log(`${version} is released`);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
}
