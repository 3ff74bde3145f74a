import { createTwoFilesPatch } from "diff";
import { listNames } from "../local/names.ts";
import { withNeeds } from "../local/packs.ts";
import { hashOf } from "../local/hash.ts";
import { configuredFunctions } from "./config-toml.ts";
import type { Files } from "./files.ts";
import {
  assertNotNewer,
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
import { CONFIG, type Manifest, type Project } from "./project.ts";
import { placeSchedules } from "./schedules.ts";
import { projectFiles, type Source } from "./source.ts";

/** The plan for bringing what a project has of Daybook to this version. Throws where it has nothing, or a newer one. */
export function planUpgrade(source: Source, project: Project, { names, at }: Found): Plan {
  const before = installedIn(project);
  assertNotNewer(source, before);
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
  const sections = configuredFunctions(project.files.get(CONFIG)!);
  const wanted = functionsOf(packs).filter((name) => !had.has(name) || !sections.includes(name));
  for (const name of wanted.filter((name) => had.has(name))) {
    plan.notes.push(`missing [functions.${name}] (${CONFIG}): it is written again`);
  }
  configure(plan, project, wanted);
  const schedules = placeSchedules(plan, source, project, packs);
  writeManifest(plan, project, {
    ...before,
    version: source.version,
    packs: packs.map(({ name }) => name),
    files: hashes,
    migrations,
    schedules,
  });
  return plan;
}

/**
 * Plans to write the new version's files over those that are as they were written, and those that are missing. One that
 * its owner has changed is kept, and named if the new version's differs from the old one's. Returns the hashes of all.
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
    if (current === text) continue;
    if (current === undefined) {
      plan.writes.set(path, text);
      if (written !== undefined) plan.notes.push(`missing ${path}: it is written again`);
    } else if (written === undefined) plan.conflicts.push(`file ${path}`);
    else if (written === hashes[path]) continue;
    else if (hashOf(current) === written) plan.writes.set(path, text);
    else plan.kept.push({ path, difference: differenceOf(path, current, text), why: "changed" });
  }
  return hashes;
}

function differenceOf(path: string, theirs: string, ours: string): string {
  return createTwoFilesPatch(`${path} (yours)`, `${path} (Daybook's)`, theirs, ours);
}
