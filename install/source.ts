/** A checkout of Daybook, as it moves into other projects. */
import { fileURLToPath } from "node:url";
import type { Names } from "../local/names.ts";
import { type Pack, readPacks, readSchedules } from "../local/packs.ts";
import { readReleases, readVersion } from "../local/releases.ts";
import { importedPaths, rewriteImports } from "./imports.ts";
import type { Entry } from "../local/schedules.ts";
import { type Files, readFiles } from "./files.ts";
import { SCHEMA } from "./project.ts";

/** Where the shared code is in a project. */
export const SHARED = "supabase/functions/_shared/daybook/";

export interface SourceMigration {
  /** Its name in the checkout. */
  file: string;
  pack: string;
  text: string;
  makes: Names;
}

export interface Source {
  version: string;
  /** Its migrations do not change any more. */
  isReleased: boolean;
  packs: Pack[];
  /** Of all versions, the oldest first. */
  migrations: SourceMigration[];
  /** The functions, the shared code and the schema of schedules.json, by their paths in the checkout. */
  files: Files;
  /** What runs when, by pack. */
  schedules: Record<string, Entry[]>;
  /** The shared modules that a job of a project's own is made with. */
  exports: string[];
  /** The packages by the names that modules import, with their versions. */
  imports: Record<string, string>;
}

export async function readSource(root = new URL("../", import.meta.url)): Promise<Source> {
  const folder = fileURLToPath(root);
  const texts = await readFiles(folder, ["supabase/migrations"]);
  const version = await readVersion(root);
  const releases = await readReleases(root);
  const migrations = releases.flatMap(({ migrations }) =>
    Object.entries(migrations).map(([file, { pack, makes }]) => {
      const text = texts.get(`supabase/migrations/${file}`);
      if (text === undefined) {
        throw new Error(`The migration ${file} is missing: deno task release`);
      }
      return { file, pack, makes, text };
    })
  );
  const { exports, imports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const files = await readFiles(folder, ["shared", "supabase/functions"]);
  files.set(SCHEMA, await Deno.readTextFile(new URL(SCHEMA, root)));
  return {
    version,
    isReleased: releases.find((release) => release.version === version)?.date != null,
    packs: await readPacks(root),
    migrations,
    files,
    schedules: await readSchedules(root),
    exports: Object.values<string>(exports).map((path) => path.replace("./", "")),
    imports,
  };
}

/** The files of these packs, by the path that they have in a project: their functions, what these import, and the schema. */
export function projectFiles(source: Source, packs: readonly Pack[]): Files {
  if (packs.length === 0) return new Map();
  const paths = new Set([...source.exports, SCHEMA]);
  for (const name of packs.flatMap((pack) => pack.functions)) {
    for (const path of source.files.keys()) {
      if (path.startsWith(`supabase/functions/${name}/`)) paths.add(path);
    }
  }
  // A set is walked to what is added meanwhile.
  for (const path of paths) {
    for (const imported of importedPaths(path, textOf(source, path))) paths.add(imported);
  }
  return new Map(
    [...paths].sort().map((path) => [
      inProject(path),
      path.endsWith(".ts")
        ? rewriteImports(path, textOf(source, path), inProject)
        : textOf(source, path),
    ]),
  );
}

const inProject = (path: string) => path.replace(/^shared\//, SHARED);

function textOf({ files }: Source, path: string): string {
  const text = files.get(path);
  if (text === undefined) throw new Error(`The checkout has no file ${path}`);
  return text;
}
