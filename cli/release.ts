/** `deno task release`: makes supabase/migrations of supabase/sql. See `--help`. */
import { raiseVersion, VERSION_FILES } from "../local/raise-version.ts";
import { readReleases, readVersion, writeMigrations, writeReleases } from "../local/releases.ts";
import { readArguments } from "./arguments.ts";

const USAGE = `Make the migrations of the version in deno.json out of supabase/sql.

deno task release [options]

  --date DAY      release it: from then on its migrations stay as they are
  --next VERSION  begin the version after a released one: writes it into deno.json, version.sql and CHANGELOG.md
  --help          this text

Where a table or data changes, write the statements into supabase/sql/<pack>/changes/<version>.sql first;
functions that changed are found. The result is compared with what supabase/sql makes.`;

const { values } = readArguments(USAGE, {
  date: { type: "string" },
  next: { type: "string" },
});
const version = await readVersion();
if (values.date !== undefined && !/^\d{4}-\d\d-\d\d$/.test(values.date)) {
  console.error(`--date must be a day like 2026-12-01, got ${values.date}`);
  Deno.exit(2);
}
if (values.next !== undefined && !/^\d+\.\d+\.\d+$/.test(values.next)) {
  console.error(`--next must be a version like 0.10.1, got ${values.next}`);
  Deno.exit(2);
}
try {
  if (values.next !== undefined) {
    await begin(values.next);
    Deno.exit(0);
  }
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

async function begin(next: string) {
  const root = new URL("../", import.meta.url);
  const released = (await readReleases()).find((release) => release.version === version)?.date;
  if (released == null) {
    throw new Error(`${version} is not released yet: no other version can begin`);
  }
  const files = new Map(
    await Promise.all(
      VERSION_FILES.map(async (path) =>
        [path, await Deno.readTextFile(new URL(path, root))] as const
      ),
    ),
  );
  for (const [path, text] of raiseVersion(files, version, next)) {
    await Deno.writeTextFile(new URL(path, root), text);
    console.log(path);
  }
}
