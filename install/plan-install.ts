import { type Pack, withNeeds } from "../local/packs.ts";
import { hashOf } from "../local/releases.ts";
import type { Files } from "./files.ts";
import { moveAside, takeOver } from "./migrations.ts";
import {
  clashes,
  configure,
  describe,
  emptyPlan,
  type Found,
  functionOf,
  functionsOf,
  migrationWriter,
  namesOf,
  type Plan,
  undated,
  writeManifest,
} from "./plan.ts";
import type { Manifest, Project } from "./project.ts";
import { projectFiles, type Source } from "./source.ts";

export interface InstallOptions extends Found {
  packs: readonly string[];
  /** Rename what is in the way in the database. */
  aside: boolean;
}

/** The plan for bringing packs and what they need into a project. Throws for an unknown pack and another version. */
export function planInstall(source: Source, project: Project, options: InstallOptions): Plan {
  const { manifest } = project;
  if (manifest !== null && manifest.version !== source.version) {
    throw new Error(
      `The project has Daybook ${manifest.version}, this is ${source.version}: run deno task upgrade first`,
    );
  }
  const plan = emptyPlan();
  const installed = manifest?.packs ?? [];
  const added = withNeeds(source.packs, options.packs)
    .filter((pack) => !installed.includes(pack.name));
  if (added.length === 0) return plan;
  const all = source.packs.filter((pack) => installed.includes(pack.name) || added.includes(pack));
  if (!options.aside) {
    const inTheWay = clashes(namesOf(source, added), options.names);
    plan.conflicts.push(...inTheWay.map(describe));
    plan.canMoveAside = inTheWay.length > 0;
  }
  const files = placeFiles(plan, projectFiles(source, all), project, functionsOf(added));
  const migrations = placeMigrations(plan, source, project, added, options);
  configure(plan, project, functionsOf(added));
  writeManifest(plan, project, {
    version: source.version,
    packs: all.map(({ name }) => name),
    files,
    migrations: { ...manifest?.migrations, ...migrations },
    moved_aside: (manifest?.moved_aside ?? false) || options.aside,
  });
  return plan;
}

/** Plans to write the files that are not there. Returns the hashes of all; what is in the way becomes a conflict. */
function placeFiles(
  plan: Plan,
  files: Files,
  { files: there, manifest }: Project,
  functions: readonly string[],
): Manifest["files"] {
  const foreign = new Set(
    [...there].filter(([path, text]) => files.get(path) !== text)
      .map(([path]) => functionOf(path) ?? "").filter((name) => functions.includes(name)),
  );
  for (const name of foreign) {
    plan.conflicts.push(`edge function ${name} (supabase/functions/${name})`);
  }
  const hashes: Manifest["files"] = {};
  for (const [path, text] of files) {
    const written = manifest?.files[path];
    hashes[path] = written ?? hashOf(text);
    if (written !== undefined) continue;
    const current = there.get(path);
    if (current === undefined) plan.writes.set(path, text);
    else if (current !== text && !foreign.has(functionOf(path) ?? "")) {
      plan.conflicts.push(`file ${path}`);
    }
  }
  return hashes;
}

/** Plans the packs' migrations of all versions; the name that each has here by the one it has in the checkout. */
function placeMigrations(
  plan: Plan,
  source: Source,
  project: Project,
  packs: readonly Pack[],
  { aside, at }: InstallOptions,
): Manifest["migrations"] {
  const write = migrationWriter(plan, project, at);
  if (aside) write("daybook_move_aside", moveAside(namesOf(source, packs)));
  const core = source.migrations.find(({ pack }) => pack === "scheduler");
  const migrations: Manifest["migrations"] = {};
  for (const { file, pack, text } of source.migrations) {
    if (!packs.some(({ name }) => name === pack)) continue;
    migrations[file] = write(undated(file), text);
    // At once: other packs ask which day ran last.
    if (aside && file === core?.file) write("daybook_take_over", takeOver());
  }
  return migrations;
}
