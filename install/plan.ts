/**
 * What a command would do to a project: decided from what is there, by functions that write nothing (plan-install.ts,
 * plan-upgrade.ts, plan-uninstall.ts, new-job.ts). Here is what they share; write.ts carries a plan out.
 */
import { isDeepStrictEqual } from "node:util";
import { keyOf, listNames, type Name } from "../local/names.ts";
import type { Pack } from "../local/packs.ts";
import { compareVersions } from "../local/raise-version.ts";
import { hashOf } from "../local/hash.ts";
import { addFunctions, configuredFunctions } from "./config-toml.ts";
import type { Files } from "./files.ts";
import { CONFIG, MANIFEST, type Manifest, type Project } from "./project.ts";
import type { Source } from "./source.ts";
import type { FoundName } from "./sql-names.ts";

export interface Plan {
  /** Files to write, by their paths, with what will be in them. */
  writes: Files;
  /** Files to delete. */
  removes: string[];
  /**
   * Files that stay as they are: because their owner has changed them, or because such a file needs them. With the path
   * how ours differs from it.
   */
  kept: { path: string; difference: string; why: "changed" | "needed" }[];
  /** Lines for people besides the files: what is renamed in the database, what is missing, what stays. */
  notes: string[];
  /** Names and files that are in the way; nothing is written while there are any. */
  conflicts: string[];
  /** Whether `--move-aside` would do away with some of them. */
  canMoveAside: boolean;
  /** What a person does about what is in the way, where it is no matter of Daybook's own names. */
  wayOut?: string;
}

export interface Found {
  /** What the project's database has, or what its migrations make. */
  names: readonly FoundName[];
  /** Now; new migrations are dated from it on. */
  at: Date;
}

export const emptyPlan = (): Plan => ({
  writes: new Map(),
  removes: [],
  kept: [],
  notes: [],
  conflicts: [],
  canMoveAside: false,
});

/** What the project has of Daybook. Throws where that is nothing. */
export function installedIn({ manifest, ledger }: Project): Manifest {
  if (manifest !== null) return manifest;
  throw new Error(
    ledger === undefined
      ? `The project has no Daybook: it has no ${MANIFEST}`
      : "The project has no Daybook: only the ledger that uninstall left in the database",
  );
}

/** Throws where the project's Daybook is not of this version, and says which command or checkout helps. */
export function assertVersion(source: Source, manifest: Manifest) {
  assertNotNewer(source, manifest);
  if (manifest.version !== source.version) {
    throw new Error(
      `${
        versionsOf(source, manifest)
      }: run deno task upgrade first, or use a checkout of ${manifest.version}`,
    );
  }
}

/** Throws where the project's Daybook is newer than this one. */
export function assertNotNewer(source: Source, manifest: Manifest) {
  if (compareVersions(manifest.version, source.version) > 0) {
    throw new Error(
      `${versionsOf(source, manifest)}: use a checkout of ${manifest.version} or newer`,
    );
  }
}

const versionsOf = (source: Source, { version }: Manifest) =>
  `The project has Daybook ${version}, this is ${source.version}`;

/** What these packs make, in all versions. */
export function namesOf({ migrations }: Source, packs: readonly Pack[]): Name[] {
  return migrations
    .filter(({ pack }) => packs.some(({ name }) => name === pack))
    .flatMap(({ makes }) => listNames(makes));
}

/** Of what is there, what has the name of something that is to be made; each name once. */
export function clashes(wanted: readonly Name[], there: readonly FoundName[]): FoundName[] {
  const keys = new Set(wanted.map(keyOf));
  return there.filter((name) => keys.delete(keyOf(name)));
}

export const describe = ({ kind, name, where }: FoundName) =>
  `${kind} ${name}${where === "" ? "" : ` (${where})`}`;

/** The edge function that a file of a project belongs to. */
export const functionOf = (path: string) => /^supabase\/functions\/([^_/][^/]*)\//.exec(path)?.[1];

export const functionsOf = (packs: readonly Pack[]) => packs.flatMap(({ functions }) => functions);

/** Plans to delete the files that are unchanged; the others are kept. */
export function removeFiles(plan: Plan, { files, manifest }: Project, paths: readonly string[]) {
  for (const path of paths) {
    const current = files.get(path);
    if (current === undefined) continue;
    if (hashOf(current) === manifest!.files[path]) plan.removes.push(path);
    else plan.kept.push({ path, difference: "", why: "changed" });
  }
}

/** Plans a section of config.toml for each function. One that is there is in the way. */
export function configure(plan: Plan, { files }: Project, functions: readonly string[]) {
  const toml = files.get(CONFIG)!;
  const there = configuredFunctions(toml);
  const taken = functions.filter((name) => there.includes(name));
  plan.conflicts.push(...taken.map((name) => `section [functions.${name}] (${CONFIG})`));
  const missing = functions.filter((name) => !there.includes(name));
  if (missing.length > 0) plan.writes.set(CONFIG, addFunctions(toml, missing));
}

/** Plans to write what is installed from now on, if that is anything else. */
export function writeManifest(plan: Plan, { manifest: before }: Project, manifest: Manifest) {
  if (isDeepStrictEqual(manifest, before)) return;
  const { version, packs, files, migrations, schedules, ...more } = manifest;
  const text = JSON.stringify({ version, packs, files, migrations, schedules, ...more }, null, 2);
  plan.writes.set(MANIFEST, `${text}\n`);
}

/**
 * How far apart migrations are dated that are written at once: `install --move-aside` may have to write one before each
 * and one after it later.
 */
const ROOM = 3n;

/** Plans migrations, one after the other, dated later than every one there and than now; each call gives the file's name. */
export function migrationWriter(plan: Plan, { files }: Project, at: Date) {
  const now = at.toISOString().replace(/\D/g, "").slice(0, 14);
  let stamp = BigInt(now);
  for (const path of files.keys()) {
    const there = /^supabase\/migrations\/(\d+)_/.exec(path)?.[1];
    if (there !== undefined && BigInt(there) + ROOM > stamp) stamp = BigInt(there) + ROOM;
  }
  return (name: string, text: string): string => {
    const file = `${stamp}_${name}.sql`;
    stamp += ROOM;
    plan.writes.set(`supabase/migrations/${file}`, text);
    return file;
  };
}

/** Plans a migration right before another one, or right after it; gives the file's name. */
export function writeBeside(
  plan: Plan,
  { files }: Project,
  beside: string,
  step: -1n | 1n,
  { name, text }: { name: string; text: string },
): string {
  const taken = new Set(
    [...files.keys(), ...plan.writes.keys()].map((path) => versionOf(path.split("/").at(-1)!)),
  );
  let stamp = BigInt(versionOf(beside)) + step;
  while (taken.has(String(stamp))) stamp += step;
  const file = `${stamp}_${name}.sql`;
  plan.writes.set(`supabase/migrations/${file}`, text);
  return file;
}

/** The date of a migration, by which the CLI knows it. */
export const versionOf = (file: string) => file.split("_")[0]!;

/** The name of a migration without its date. */
export const undated = (file: string) => file.replace(/^\d+_|\.sql$/g, "");
