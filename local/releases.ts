/**
 * How supabase/sql becomes supabase/migrations. supabase/releases.json names each version with its migrations and their
 * hashes; those of a version that has a date never change any more.
 */
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { z } from "zod";
import { compareCatalogues, readCatalogue } from "./catalogue.ts";
import { guardOf } from "./guard.ts";
import { hashOf } from "./hash.ts";
import {
  applyMigrations,
  type Migration,
  MIGRATIONS_DIRECTORY,
  readMigrations,
} from "./migrations.ts";
import { type Names, namesMade, readNames } from "./names.ts";
import { parseJson } from "./parse-json.ts";
import { applyPack, applyPacks, type Pack, packSql, readChanges, readPacks } from "./packs.ts";
import { withScratchDatabase } from "./scratch-database.ts";

/** The root of this checkout. */
const ROOT = new URL("../", import.meta.url);

const releasesSchema = z.array(z.strictObject({
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  /** The day on which it was released; null: it is still being made. */
  date: z.iso.date().nullable(),
  /** Its migrations, by file name. */
  migrations: z.record(
    z.string().regex(/^\d{14}_[a-z0-9_]+\.sql$/),
    z.strictObject({
      pack: z.string(),
      hash: z.string(),
      /** What it makes, by kind: nothing of that name may be there before. */
      makes: z.record(z.string(), z.array(z.string())),
    }),
  ),
}));
export type Release = z.infer<typeof releasesSchema>[number];

/** Whether a text is a day of the calendar, as `2026-12-01`. */
export const isDay = (text: string) => z.iso.date().safeParse(text).success;

/** The releases of a checkout, the oldest first. */
export async function readReleases(root = ROOT): Promise<Release[]> {
  const text = await Deno.readTextFile(new URL("supabase/releases.json", root));
  return parseJson("supabase/releases.json", text, releasesSchema);
}

/** The version in deno.json: the one that is being made, or the newest. */
export async function readVersion(root = ROOT): Promise<string> {
  const configuration = await Deno.readTextFile(new URL("deno.json", root));
  return parseJson("deno.json", configuration, z.object({ version: z.string() })).version;
}

export async function writeReleases(releases: Release[]): Promise<void> {
  await Deno.writeTextFile(
    new URL("supabase/releases.json", ROOT),
    JSON.stringify(releases, null, 2) + "\n",
  );
}

/** Faults of the migrations in the folder: missing, changed since, or in no release. */
export async function releaseFaults(releases: Release[]): Promise<string[]> {
  const known = new Map(releases.flatMap(({ migrations }) => Object.entries(migrations)));
  const faults: string[] = [];
  for (const { version, name, text } of await readMigrations()) {
    const file = `${version}_${name}.sql`;
    if (!known.has(file)) faults.push(`${file} belongs to no release`);
    else if (known.get(file)!.hash !== hashOf(text)) {
      faults.push(`${file} is not as it was released`);
    }
    known.delete(file);
  }
  return [...faults, ...[...known.keys()].map((file) => `${file} is missing`)];
}

export interface MadeMigration {
  pack: Pack;
  text: string;
  makes: Names;
}

/**
 * The migrations that lead from the earlier releases to supabase/sql, by pack: all of the pack where it is new, else its
 * changes/<version>.sql and the functions that are other ones now. Each begins with a look whether what it makes is
 * there already.
 *
 * @param migrations Those of the earlier releases, where they are not the ones in supabase/migrations.
 * @throws when they do not lead there, naming what is missing.
 */
export async function makeMigrations(
  version: string,
  earlier: Release[],
  migrations?: Migration[],
): Promise<MadeMigration[]> {
  const packs = await readPacks();
  const known = new Set(
    earlier.flatMap(({ migrations }) => Object.values(migrations).map(({ pack }) => pack)),
  );
  const files = new Set(earlier.flatMap(({ migrations }) => Object.keys(migrations)));
  const released = (migrations ?? await readMigrations())
    .filter((migration) => files.has(`${migration.version}_${migration.name}.sql`));
  const wanted = known.size === 0
    ? undefined
    : await onScratch((sql) => applyPacks(sql, packs), async (sql) => ({
      functions: await readFunctions(sql),
      catalogue: await readCatalogue(sql),
    }));
  return onScratch(async (sql) => void await applyMigrations(sql, released), async (sql) => {
    const before = await readFunctions(sql);
    const made: MadeMigration[] = [];
    let names = await readNames(sql);
    for (const pack of packs) {
      const text = wanted && known.has(pack.name)
        ? await migrationOf(pack, version, before, wanted.functions)
        : await packSql(pack);
      if (text === null) continue;
      await applyPack(sql, pack.name, text);
      const after = await readNames(sql);
      const makes = namesMade(names, after);
      made.push({ pack, text: guardOf(pack.name, makes) + text, makes });
      names = after;
    }
    const left = wanted ? compareCatalogues(await readCatalogue(sql), wanted.catalogue) : [];
    if (left.length > 0) {
      throw new Error(
        `The migrations of ${version} do not lead to supabase/sql; write what is missing into ` +
          `supabase/sql/<pack>/changes/${version}.sql (- is there, + should be):\n${
            left.join("\n")
          }`,
      );
    }
    return made;
  });
}

/** Functions by their signature, each as a statement that makes it what it is, comment and rights included. */
type Functions = Map<string, { schema: string; name: string; statement: string }>;

async function readFunctions(sql: Sql): Promise<Functions> {
  const rows = await sql<{ signature: string; schema: string; name: string; statement: string }[]>`
    select p.oid::regprocedure::text as signature, nspname as schema, proname as name,
      pg_get_functiondef(p.oid) || ';' || chr(10)
        || coalesce(format('comment on function %s is %L;', p.oid::regprocedure, obj_description(p.oid, 'pg_proc')) || chr(10), '')
        || format('revoke all on function %s from public, anon, authenticated, service_role;', p.oid::regprocedure) || chr(10)
        || coalesce((
          select string_agg(format('grant execute on function %s to %s;', p.oid::regprocedure, grantee::regrole), chr(10)) || chr(10)
          from aclexplode(proacl) where grantee <> 0 and grantee <> proowner), '') as statement
    from pg_proc as p join pg_namespace as n on n.oid = pronamespace
    where proowner = 'postgres'::regrole and prokind = 'f'
      and not exists (select from pg_depend where objid = p.oid and classid = 'pg_proc'::regclass and deptype = 'e')
    order by 1`;
  return new Map(rows.map(({ signature, ...found }) => [signature, found]));
}

async function migrationOf(
  pack: Pack,
  version: string,
  before: Functions,
  after: Functions,
): Promise<string | null> {
  const source = await packSql(pack);
  const isOurs = ({ schema, name }: { schema: string; name: string }) =>
    schema === pack.schema || schema === "public" && source.includes(`function public.${name}(`);
  const changed = [...after].filter(([signature, found]) =>
    isOurs(found) && before.get(signature)?.statement !== found.statement
  );
  const gone = [...before].filter(([signature, found]) =>
    !after.has(signature) && found.schema === pack.schema
  );
  const changes = await readChanges(pack, version);
  if (changes === null && changed.length === 0 && gone.length === 0) return null;
  return [
    changes ?? "",
    ...gone.map(([signature]) => `drop function ${signature};\n`),
    // Whatever order they stand in, each may call the others.
    "set local check_function_bodies = off;\n",
    ...changed.map(([, { statement }]) => statement),
  ].filter((part) => part !== "").join("\n");
}

async function onScratch<T>(
  prepare: (sql: Sql) => Promise<void>,
  read: (sql: Sql) => Promise<T>,
): Promise<T> {
  return await withScratchDatabase(async ({ url }) => {
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    try {
      return await read(sql);
    } finally {
      await sql.end();
    }
  }, { prepare });
}

/**
 * Writes the migrations of a version that has no date yet, and what releases.json says of it. Returns the file names.
 * The version's first file is dated today; those of a version that is made again keep their names.
 */
export async function writeMigrations(version: string, today: Date): Promise<string[]> {
  const releases = await readReleases();
  const earlier = releases.filter((release) => release.version !== version);
  const draft = releases.find((release) => release.version === version);
  if (draft?.date != null) {
    throw new Error(
      `${version} was released on ${draft.date}: begin the next version with deno task release --next`,
    );
  }
  if (earlier.some(({ date }) => date === null)) {
    throw new Error("releases.json: an earlier version has no date");
  }
  const made = await makeMigrations(version, earlier);
  const old = Object.keys(draft?.migrations ?? {}).sort();
  const first = old[0]?.slice(0, 14) ?? firstStamp(earlier, today);
  const migrations: Release["migrations"] = {};
  for (const [index, { pack, text, makes }] of made.entries()) {
    const stamp = BigInt(first) + BigInt(index);
    const file = `${stamp}_daybook_${pack.schema}_${version.replaceAll(".", "_")}.sql`;
    const whole =
      `-- Daybook ${version}, pack ${pack.name}. Made of supabase/sql/${pack.name}: change it there.\n\n${text}`;
    await Deno.writeTextFile(join(MIGRATIONS_DIRECTORY, file), whole);
    migrations[file] = { pack: pack.name, hash: hashOf(whole), makes };
  }
  for (const file of old.filter((file) => !(file in migrations))) {
    await Deno.remove(join(MIGRATIONS_DIRECTORY, file)).catch(() => {});
  }
  await writeReleases([...earlier, { version, date: null, migrations }]);
  return Object.keys(migrations);
}

/** The version of a release's first migration: of today, and later than all of the earlier releases. */
export function firstStamp(earlier: readonly Release[], today: Date): string {
  const newest = earlier.flatMap(({ migrations }) => Object.keys(migrations)).sort().at(-1);
  const stamps = [
    BigInt(`${today.toISOString().slice(0, 10).replaceAll("-", "")}000001`),
    newest === undefined ? 0n : BigInt(newest.slice(0, 14)) + 1n,
  ];
  return String(stamps.reduce((a, b) => a > b ? a : b));
}
