import { keyOf, listNames, type Name } from "../local/names.ts";
import type { Pack } from "../local/packs.ts";
import { hashOf } from "../local/hash.ts";
import { removeFunctions } from "./config-toml.ts";
import type { Files } from "./files.ts";
import { importedPaths } from "./imports.ts";
import { LEDGER, removeLedger, removePacks, SUFFIX } from "./migrations.ts";
import {
  assertVersion,
  emptyPlan,
  functionOf,
  functionsOf,
  installedIn,
  migrationWriter,
  namesOf,
  type Plan,
  writeManifest,
} from "./plan.ts";
import { CONFIG, MANIFEST, type Manifest, type Project } from "./project.ts";
import { placeSchedules } from "./schedules.ts";
import { projectFiles, type Source } from "./source.ts";

export interface UninstallOptions {
  /** None: all of them. */
  packs: readonly string[];
  /** Also the tables that say what happened. */
  dropLedger: boolean;
  at: Date;
}

/**
 * The plan for taking packs out of a project and, by a migration, out of its database; or the ledger that stayed when
 * they went. Throws where it does not have them, or has another version.
 */
export function planUninstall(source: Source, project: Project, options: UninstallOptions): Plan {
  if (project.ledger !== undefined) {
    return planRemoveLedger(source, project, project.ledger, options);
  }
  const manifest = installedIn(project);
  const { removed, left } = divide(source, manifest, options.packs);
  const plan = emptyPlan();
  const files = projectFiles(source, left);
  const gone = Object.keys(manifest.files).filter((path) => !files.has(path));
  keepWhole(plan, project, gone);
  plan.conflicts.push(...needsOf(left, removed), ...importersOf(project, manifest, plan.removes));

  const stays = new Set(plan.kept.map(({ path }) => functionOf(path)));
  const toml = project.files.get(CONFIG)!;
  const config = removeFunctions(toml, functionsOf(removed).filter((name) => !stays.has(name)));
  if (config !== toml) plan.writes.set(CONFIG, config);
  const what = left.length === 0 ? "all" : removed.map(({ schema }) => schema).join("_and_");
  migrationWriter(plan, project, options.at)(
    `daybook_remove_${what}`,
    removePacks(
      removed.toReversed().map((pack) => ({ pack, makes: namesOf(source, [pack]) })),
      { dropLedger: options.dropLedger, putBack: movedAside(source, manifest, left) },
    ),
  );
  const schedules = placeSchedules(plan, source, project, left);
  const ledgerStays = !options.dropLedger && removed.some(({ name }) => name === "scheduler");
  noteStaying(plan, source, manifest, { left, ledgerStays });
  if (left.length === 0 && !ledgerStays) plan.removes.push(MANIFEST);
  else writeManifest(plan, project, { ...manifestOf(source, manifest, left, files), schedules });
  return plan;
}

function planRemoveLedger(
  source: Source,
  project: Project,
  manifest: Manifest,
  { packs, dropLedger, at }: UninstallOptions,
): Plan {
  if (packs.length > 0 || !dropLedger) {
    throw new Error("Only the ledger is left of Daybook: uninstall --drop-ledger drops it");
  }
  const plan = emptyPlan();
  migrationWriter(plan, project, at)(
    "daybook_remove_ledger",
    removeLedger(movedAside(source, manifest, [])),
  );
  plan.removes.push(MANIFEST);
  return plan;
}

/** The names that were moved aside for packs that are not left. */
function movedAside(
  { migrations }: Source,
  { moved_aside: moved }: Manifest,
  left: readonly Pack[],
): Name[] {
  return migrations
    .filter(({ file, pack }) => moved.includes(file) && !left.some(({ name }) => name === pack))
    .flatMap(({ makes }) => listNames(makes));
}

/** Says what does not get its name back, because tables of Daybook's that stay have it. */
function noteStaying(
  plan: Plan,
  source: Source,
  manifest: Manifest,
  { left, ledgerStays }: { left: readonly Pack[]; ledgerStays: boolean },
) {
  if (movedAside(source, manifest, left).length === 0) return;
  const stays = namesOf(source, left)
    .concat(ledgerStays ? LEDGER.map((name) => ({ kind: "table", name })) : []).map(keyOf);
  const names = movedAside(source, manifest, [])
    .filter((name) => name.kind === "table" && stays.includes(keyOf(name)))
    .map(({ name }) => `${name}${SUFFIX}`);
  if (names.length === 0) return;
  plan.notes.push(
    `stay    ${names.join(", ")} (those that you have): Daybook's tables keep the old names. ` +
      "With them stay the functions, schemas and entries of pg_cron that use these names. " +
      "uninstall --drop-ledger of all packs names them back, now or later",
  );
}

/**
 * Plans to delete files. One that its owner has changed stays; so does the function that it belongs to, and what the
 * files that stay import.
 */
function keepWhole(plan: Plan, { files, manifest }: Project, gone: readonly string[]) {
  const there = gone.filter((path) => files.has(path));
  const isChanged = (path: string) => hashOf(files.get(path)!) !== manifest!.files[path];
  const functions = new Set(there.map(functionOf));
  const touched = new Set(
    [...files.keys()]
      .filter((path) => gone.includes(path) ? isChanged(path) : functions.has(functionOf(path)))
      .map(functionOf)
      .filter((name) => name !== undefined),
  );
  const stays = new Set(
    there.filter((path) => isChanged(path) || touched.has(functionOf(path) ?? "")),
  );
  // A set is walked to what is added meanwhile.
  for (const path of stays) {
    for (const imported of importedPaths(path, files.get(path)!)) {
      if (there.includes(imported)) stays.add(imported);
    }
  }
  for (const path of there) {
    if (!stays.has(path)) plan.removes.push(path);
    else plan.kept.push({ path, difference: "", why: isChanged(path) ? "changed" : "needed" });
  }
}

/** What a person does once it is written. */
export function nextAfterUninstall({ removes }: Plan): string[] {
  const functions = new Set(removes.map(functionOf).filter((name) => name !== undefined));
  return [
    "supabase db push",
    ...[...functions].map((name) => `supabase functions delete ${name}`),
  ];
}

function divide(
  source: Source,
  manifest: Manifest,
  names: readonly string[],
): { removed: Pack[]; left: Pack[] } {
  assertVersion(source, manifest);
  for (const name of names) {
    if (!manifest.packs.includes(name)) {
      throw new Error(`The project has no pack ${name}; it has: ${manifest.packs.join(", ")}`);
    }
  }
  const installed = source.packs.filter(({ name }) => manifest.packs.includes(name));
  const isRemoved = ({ name }: Pack) => names.length === 0 || names.includes(name);
  return {
    removed: installed.filter(isRemoved),
    left: installed.filter((pack) => !isRemoved(pack)),
  };
}

/** The packs that stay and need one that goes. */
function needsOf(left: readonly Pack[], removed: readonly Pack[]): string[] {
  return left.flatMap(({ name, needs }) =>
    needs.filter((need) => removed.some((pack) => pack.name === need))
      .map((need) => `pack ${name}, which needs ${need}`)
  );
}

/** The owner's modules that import a file that goes. */
function importersOf({ files }: Project, manifest: Manifest, gone: readonly string[]): string[] {
  return [...files].flatMap(([path, text]) => {
    if (path in manifest.files || !path.endsWith(".ts")) return [];
    const needed = importedPaths(path, text).find((imported) => gone.includes(imported));
    return needed === undefined ? [] : [`file ${path}, which imports ${needed}`];
  });
}

/** What is installed once only these packs, with these files, are left. */
function manifestOf(
  source: Source,
  manifest: Manifest,
  packs: readonly Pack[],
  files: Files,
): Manifest {
  const only = (record: Record<string, string>, keys: readonly string[]) =>
    Object.fromEntries(Object.entries(record).filter(([key]) => keys.includes(key)));
  const names = packs.map(({ name }) => name);
  return {
    ...manifest,
    packs: names,
    files: only(manifest.files, [...files.keys()]),
    migrations: only(
      manifest.migrations,
      source.migrations.filter(({ pack }) => names.includes(pack)).map(({ file }) => file),
    ),
  };
}
