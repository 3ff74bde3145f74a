import type { Pack } from "../local/packs.ts";
import { removeFunctions } from "./config-toml.ts";
import type { Files } from "./files.ts";
import { importedPaths } from "./imports.ts";
import { removePacks } from "./migrations.ts";
import {
  emptyPlan,
  functionOf,
  functionsOf,
  installedIn,
  migrationWriter,
  namesOf,
  type Plan,
  removeFiles,
  writeManifest,
} from "./plan.ts";
import { CONFIG, MANIFEST, type Manifest, type Project } from "./project.ts";
import { projectFiles, type Source } from "./source.ts";

export interface UninstallOptions {
  /** None: all of them. */
  packs: readonly string[];
  /** Also the tables that say what happened. */
  dropLedger: boolean;
  at: Date;
}

/**
 * The plan for taking packs out of a project and, by a migration, out of its database. Throws where it does not have
 * them, or has another version.
 */
export function planUninstall(source: Source, project: Project, options: UninstallOptions): Plan {
  const manifest = installedIn(project);
  const { removed, left } = divide(source, manifest, options.packs);
  const plan = emptyPlan();
  const files = projectFiles(source, left);
  const gone = Object.keys(manifest.files).filter((path) => !files.has(path));
  plan.conflicts.push(...needsOf(left, removed), ...importersOf(project, manifest, gone));
  removeFiles(plan, project, gone);

  const stays = new Set(plan.kept.map(({ path }) => functionOf(path)));
  const toml = project.files.get(CONFIG)!;
  const config = removeFunctions(toml, functionsOf(removed).filter((name) => !stays.has(name)));
  if (config !== toml) plan.writes.set(CONFIG, config);
  const what = left.length === 0 ? "all" : removed.map(({ schema }) => schema).join("_and_");
  migrationWriter(plan, project, options.at)(
    `daybook_remove_${what}`,
    removePacks(
      removed.toReversed().map((pack) => ({ pack, makes: namesOf(source, [pack]) })),
      { dropLedger: options.dropLedger, putBack: manifest.moved_aside },
    ),
  );
  if (left.length === 0) plan.removes.push(MANIFEST);
  else writeManifest(plan, project, manifestOf(source, manifest, left, files));
  return plan;
}

function divide(
  { version, packs }: Source,
  manifest: Manifest,
  names: readonly string[],
): { removed: Pack[]; left: Pack[] } {
  if (manifest.version !== version) {
    throw new Error(
      `The project has Daybook ${manifest.version}, this is ${version}: use the checkout of that version, or upgrade first`,
    );
  }
  for (const name of names) {
    if (!manifest.packs.includes(name)) {
      throw new Error(`The project has no pack ${name}; it has: ${manifest.packs.join(", ")}`);
    }
  }
  const installed = packs.filter(({ name }) => manifest.packs.includes(name));
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
