/**
 * What installing, upgrading and uninstalling would do to a project: decided here, from what is there, by functions
 * that write nothing. `write.ts` does it.
 */
import { createTwoFilesPatch } from "diff";
import { isDeepStrictEqual } from "node:util";
import { keyOf, listNames, type Name } from "../local/names.ts";
import { type Pack, withNeeds } from "../local/packs.ts";
import { hashOf } from "../local/releases.ts";
import { addFunctions, configuredFunctions, removeFunctions } from "./config-toml.ts";
import type { Files } from "./files.ts";
import { importedPaths } from "./imports.ts";
import { moveAside, removePacks, takeOver } from "./migrations.ts";
import { CONFIG, MANIFEST, type Manifest, type Project } from "./project.ts";
import { projectFiles, type Source } from "./source.ts";
import type { FoundName } from "./sql-names.ts";

export interface Plan {
  /** Files to write, by their paths, with what will be in them. */
  writes: Files;
  /** Files to delete. */
  removes: string[];
  /** Files that their owner has changed, and that stay as they are: the path, and how ours differs from it. */
  kept: { path: string; difference: string }[];
  /** What is in the way, each named; nothing is written while there is any. */
  conflicts: string[];
  /** Whether `--move-aside` would do away with some of them. */
  canMoveAside: boolean;
}

interface Found {
  /** What the project's database has, or what its migrations make. */
  names: readonly FoundName[];
  /** Now; new migrations are dated from it on. */
  at: Date;
}

/** The plan for bringing packs and what they need into a project. Throws where it needs no look at the files to refuse. */
export function planInstall(
  source: Source,
  project: Project,
  { names, at, packs, aside }: Found & { packs: readonly string[]; aside: boolean },
): Plan {
  const { manifest } = project;
  if (manifest !== null && manifest.version !== source.version) {
    throw new Error(
      `The project has Daybook ${manifest.version}, this is ${source.version}: run deno task upgrade first`,
    );
  }
  const installed = manifest?.packs ?? [];
  const added = withNeeds(source.packs, packs).filter((pack) => !installed.includes(pack.name));
  const all = source.packs.filter((pack) => installed.includes(pack.name) || added.includes(pack));
  const plan = emptyPlan();
  if (added.length === 0) return plan;

  const inTheWay = clashes(namesOf(source, added), names);
  if (!aside) {
    plan.conflicts.push(...inTheWay.map(describe));
    plan.canMoveAside = inTheWay.length > 0;
  }
  const files = placeFiles(
    plan,
    projectFiles(source, all),
    project,
    all.flatMap(({ functions }) => functions),
  );
  const stamps = freshStamps(project, at);
  const migrations: Manifest["migrations"] = {};
  const addMigration = (name: string, text: string) => {
    const file = `${stamps.next().value}_${name}`;
    plan.writes.set(`supabase/migrations/${file}`, text);
    return file;
  };
  const core = source.migrations.find(({ pack }) => pack === "scheduler");
  if (aside) addMigration("daybook_move_aside.sql", moveAside(namesOf(source, added)));
  for (const { file, pack, text } of source.migrations) {
    if (!added.some(({ name }) => name === pack)) continue;
    migrations[file] = addMigration(file.slice(15), text);
    // At once: other packs ask which day ran last.
    if (aside && file === core?.file) addMigration("daybook_take_over.sql", takeOver());
  }
  configure(plan, project, added.flatMap(({ functions }) => functions));
  writeManifest(plan, project, {
    version: source.version,
    packs: all.map(({ name }) => name),
    files,
    migrations: { ...manifest?.migrations, ...migrations },
    moved_aside: (manifest?.moved_aside ?? false) || aside,
  });
  return plan;
}

/** The plan for bringing what a project has of Daybook to this version. */
export function planUpgrade(source: Source, project: Project, { names, at }: Found): Plan {
  const { version, packs, ...before } = installedIn(project);
  if (compareVersions(version, source.version) > 0) {
    throw new Error(
      `The project has Daybook ${version}, which is newer than this one, ${source.version}`,
    );
  }
  const all = withNeeds(source.packs, packs);
  const plan = emptyPlan();
  const files = projectFiles(source, all);
  const hashes: Manifest["files"] = {};
  for (const [path, text] of files) {
    hashes[path] = hashOf(text);
    const current = project.files.get(path);
    const written = before.files[path];
    if (current === text || written === hashes[path]) continue;
    if (written === undefined && current !== undefined) plan.conflicts.push(`file ${path}`);
    else if (written === undefined || current !== undefined && hashOf(current) === written) {
      plan.writes.set(path, text);
    } else plan.kept.push({ path, difference: differenceOf(path, current ?? "", text) });
  }
  removeFiles(plan, project, Object.keys(before.files).filter((path) => !files.has(path)));

  const stamps = freshStamps(project, at);
  const migrations = { ...before.migrations };
  for (const { file, pack, text, makes } of source.migrations) {
    if (file in migrations || !all.some(({ name }) => name === pack)) continue;
    plan.conflicts.push(...clashes(listNames(makes), names).map(describe));
    migrations[file] = `${stamps.next().value}_${file.slice(15)}`;
    plan.writes.set(`supabase/migrations/${migrations[file]}`, text);
  }
  const had = new Set(Object.keys(before.files).flatMap((path) => functionOf(path) ?? []));
  configure(
    plan,
    project,
    all.flatMap(({ functions }) => functions).filter((name) => !had.has(name)),
  );
  writeManifest(plan, project, {
    ...before,
    version: source.version,
    packs: all.map(({ name }) => name),
    files: hashes,
    migrations,
  });
  return plan;
}

/** The plan for taking packs, all of them unless some are named, out of a project and, by a migration, its database. */
export function planUninstall(
  source: Source,
  project: Project,
  { packs, dropLedger, at }: { packs: readonly string[]; dropLedger: boolean; at: Date },
): Plan {
  const manifest = installedIn(project);
  if (manifest.version !== source.version) {
    throw new Error(
      `The project has Daybook ${manifest.version}, this is ${source.version}: use the checkout of that version, or upgrade first`,
    );
  }
  for (const name of packs) {
    if (!manifest.packs.includes(name)) {
      throw new Error(`The project has no pack ${name}; it has: ${manifest.packs.join(", ")}`);
    }
  }
  const isRemoved = ({ name }: Pack) => packs.length === 0 || packs.includes(name);
  const installed = source.packs.filter(({ name }) => manifest.packs.includes(name));
  const removed = installed.filter(isRemoved);
  const left = installed.filter((pack) => !isRemoved(pack));
  const plan = emptyPlan();
  for (const { name, needs } of left) {
    for (const need of needs.filter((need) => removed.some(({ name }) => name === need))) {
      plan.conflicts.push(`pack ${name}, which needs ${need}`);
    }
  }
  const files = projectFiles(source, left);
  const gone = Object.keys(manifest.files).filter((path) => !files.has(path));
  for (const [path, text] of project.files) {
    if (path in manifest.files || !path.endsWith(".ts")) continue;
    const needed = importedPaths(path, text).find((imported) => gone.includes(imported));
    if (needed !== undefined) plan.conflicts.push(`file ${path}, which imports ${needed}`);
  }
  removeFiles(plan, project, gone);
  const stays = new Set(plan.kept.map(({ path }) => functionOf(path)));
  const config = removeFunctions(
    project.files.get(CONFIG)!,
    removed.flatMap(({ functions }) => functions).filter((name) => !stays.has(name)),
  );
  if (config !== project.files.get(CONFIG)) plan.writes.set(CONFIG, config);
  const what = left.length === 0 ? "all" : removed.map(({ schema }) => schema).join("_and_");
  plan.writes.set(
    `supabase/migrations/${freshStamps(project, at).next().value}_daybook_remove_${what}.sql`,
    removePacks(
      removed.toReversed().map((pack) => ({ pack, makes: namesOf(source, [pack]) })),
      { dropLedger, putBack: manifest.moved_aside },
    ),
  );
  if (left.length === 0) plan.removes.push(MANIFEST);
  else {
    const removedFiles = new Set(
      source.migrations.filter(({ pack }) => removed.some(({ name }) => name === pack)).map((
        { file },
      ) => file),
    );
    writeManifest(plan, project, {
      ...manifest,
      packs: left.map(({ name }) => name),
      files: Object.fromEntries(Object.entries(manifest.files).filter(([path]) => files.has(path))),
      migrations: Object.fromEntries(
        Object.entries(manifest.migrations).filter(([file]) => !removedFiles.has(file)),
      ),
    });
  }
  return plan;
}

export const emptyPlan = (): Plan => ({
  writes: new Map(),
  removes: [],
  kept: [],
  conflicts: [],
  canMoveAside: false,
});

function installedIn({ manifest }: Project): Manifest {
  if (manifest === null) throw new Error(`The project has no Daybook: it has no ${MANIFEST}`);
  return manifest;
}

/** What these packs make, in all versions. */
function namesOf({ migrations }: Source, packs: readonly Pack[]): Name[] {
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

/** Plans to write the files that are not there. Returns the hashes of all; what is in the way becomes a conflict. */
function placeFiles(
  plan: Plan,
  files: Files,
  { files: there, manifest }: Project,
  functions: readonly string[],
): Manifest["files"] {
  const hashes: Manifest["files"] = {};
  const foreign = new Set<string>();
  for (const path of there.keys()) {
    const name = functionOf(path);
    const isOurs = manifest?.files[path] !== undefined || there.get(path) === files.get(path);
    if (name !== undefined && functions.includes(name) && !isOurs) foreign.add(name);
  }
  for (const name of foreign) {
    plan.conflicts.push(`edge function ${name} (supabase/functions/${name})`);
  }
  for (const [path, text] of files) {
    hashes[path] = manifest?.files[path] ?? hashOf(text);
    if (manifest?.files[path] !== undefined) continue;
    const current = there.get(path);
    if (current === undefined) plan.writes.set(path, text);
    else if (current !== text && !foreign.has(functionOf(path) ?? "")) {
      plan.conflicts.push(`file ${path}`);
    }
  }
  return hashes;
}

/** Plans to delete what nobody changed. */
function removeFiles(plan: Plan, { files, manifest }: Project, paths: readonly string[]) {
  for (const path of paths) {
    const current = files.get(path);
    if (current === undefined) continue;
    if (hashOf(current) === manifest!.files[path]) plan.removes.push(path);
    else plan.kept.push({ path, difference: "" });
  }
}

function configure(plan: Plan, { files }: Project, functions: readonly string[]) {
  const toml = files.get(CONFIG)!;
  const there = configuredFunctions(toml);
  const taken = functions.filter((name) => there.includes(name));
  plan.conflicts.push(...taken.map((name) => `section [functions.${name}] (${CONFIG})`));
  const missing = functions.filter((name) => !there.includes(name));
  if (missing.length > 0) plan.writes.set(CONFIG, addFunctions(toml, missing));
}

function writeManifest(plan: Plan, { manifest: before }: Project, manifest: Manifest) {
  if (isDeepStrictEqual(manifest, before)) return;
  const { version, packs, files, migrations, ...more } = manifest;
  const text = JSON.stringify({ version, packs, files, migrations, ...more }, null, 2);
  plan.writes.set(MANIFEST, `${text}\n`);
}

const functionOf = (path: string) => /^supabase\/functions\/([^_/][^/]*)\//.exec(path)?.[1];

function differenceOf(path: string, theirs: string, ours: string): string {
  return createTwoFilesPatch(`${path} (yours)`, `${path} (Daybook's)`, theirs, ours);
}

/** Versions of migrations, one after the other, later than every one there and than now. */
export function* freshStamps({ files }: Project, at: Date): Generator<string, never> {
  const newest = [...files.keys()].flatMap((path) =>
    /^supabase\/migrations\/(\d+)_/.exec(path)?.[1] ?? []
  );
  const now = at.toISOString().replace(/\D/g, "").slice(0, 14);
  let stamp = [now, ...newest.map((version) => String(BigInt(version) + 1n))]
    .map(BigInt).reduce((a, b) => a > b ? a : b);
  while (true) yield String(stamp++);
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
