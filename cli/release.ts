/** `deno task release`: makes supabase/migrations of supabase/sql. See `--help`. */
import { raiseVersion, VERSION_FILES } from "../local/raise-version.ts";
import {
  isDay,
  readReleases,
  readVersion,
  writeMigrations,
  writeReleases,
} from "../local/releases.ts";
import { readArguments } from "./arguments.ts";

const USAGE = `Make the migrations of the version in deno.json out of supabase/sql.

deno task release [options]

  --date DAY      release it: from then on its migrations stay as they are
  --next VERSION  begin the version after a released one: writes it into deno.json, version.ts, version.sql and CHANGELOG.md
  --help          this text

Where a table or data changes, write the statements into supabase/sql/<pack>/changes/<version>.sql first;
functions that changed are found. The result is compared with what supabase/sql makes.`;

const { values } = readArguments(USAGE, {
  date: { type: "string" },
  next: { type: "string" },
});
if (values.date !== undefined && !isDay(values.date)) {
  refuse(`--date must be a day of the calendar like 2026-12-01, got ${values.date}`);
}
if (values.next !== undefined && !/^(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}$/.test(values.next)) {
  refuse(`--next must be a version like 0.10.1, got ${values.next}`);
}
if (values.date !== undefined && values.next !== undefined) {
  refuse("Give --date or --next: a version is released before the next one begins");
}
try {
  const version = await readVersion();
  if (values.next === undefined) await release(version, values.date);
  else await begin(values.next, version);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
}

async function release(version: string, date: string | undefined) {
  for (const file of await writeMigrations(version, new Date())) console.log(file);
  if (date === undefined) return;
  const releases = await readReleases();
  releases.at(-1)!.date = date;
  await writeReleases(releases);
  console.log(`${version} is released`);
}

async function begin(next: string, version: string) {
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

function refuse(why: string): never {
  console.error(why);
  Deno.exit(2);
}
