import { createTwoFilesPatch } from "diff";
import { listNames } from "../local/names.ts";
import { withNeeds } from "../local/packs.ts";
import { hashOf } from "../local/releases.ts";
import type { Files } from "./files.ts";
import {
  clashes,
  configure,
  describe,
  emptyPlan,
  type Found,
  functionOf,
  functionsOf,
  installedIn,
  migrationWriter,
  type Plan,
  removeFiles,
  undated,
  writeManifest,
} from "./plan.ts";
import type { Manifest, Project } from "./project.ts";
import { projectFiles, type Source } from "./source.ts";

/** The plan for bringing what a project has of Daybook to this version. Throws where it has nothing, or a newer one. */
export function planUpgrade(source: Source, project: Project, { names, at }: Found): Plan {
  const before = installedIn(project);
  if (compareVersions(before.version, source.version) > 0) {
    throw new Error(
      `The project has Daybook ${before.version}, which is newer than this one, ${source.version}`,
    );
  }
  const plan = emptyPlan();
  const packs = withNeeds(source.packs, before.packs);
  const files = projectFiles(source, packs);
  const hashes = replaceFiles(plan, files, project.files, before.files);
  removeFiles(plan, project, Object.keys(before.files).filter((path) => !files.has(path)));

  const write = migrationWriter(plan, project, at);
  const migrations = { ...before.migrations };
  for (const { file, pack, text, makes } of source.migrations) {
    if (file in migrations || !packs.some(({ name }) => name === pack)) continue;
    plan.conflicts.push(...clashes(listNames(makes), names).map(describe));
    migrations[file] = write(undated(file), text);
  }
  const had = new Set(Object.keys(before.files).map(functionOf));
  configure(plan, project, functionsOf(packs).filter((name) => !had.has(name)));
  writeManifest(plan, project, {
    ...before,
    version: source.version,
    packs: packs.map(({ name }) => name),
    files: hashes,
    migrations,
  });
  return plan;
}

/**
 * Plans to write the new version's files over those that are as they were written. One that its owner has changed or
 * deleted is kept, and named if the new version's differs from the old one's. Returns the hashes of all.
 */
function replaceFiles(
  plan: Plan,
  files: Files,
  there: Files,
  before: Manifest["files"],
): Manifest["files"] {
  const hashes: Manifest["files"] = {};
  for (const [path, text] of files) {
    hashes[path] = hashOf(text);
    const current = there.get(path);
    const written = before[path];
    if (current === text || written === hashes[path]) continue;
    const isAsWritten = (current === undefined ? undefined : hashOf(current)) === written;
    if (isAsWritten) plan.writes.set(path, text);
    else if (written === undefined) plan.conflicts.push(`file ${path}`);
    else plan.kept.push({ path, difference: differenceOf(path, current ?? "", text) });
  }
  return hashes;
}

function differenceOf(path: string, theirs: string, ours: string): string {
  return createTwoFilesPatch(`${path} (yours)`, `${path} (Daybook's)`, theirs, ours);
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
