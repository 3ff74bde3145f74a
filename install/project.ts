/** A project in the Supabase CLI's shape, into which Daybook moves. */
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../local/parse-json.ts";
import { readIfThere } from "../local/read-if-there.ts";
import { type Files, readFiles } from "./files.ts";

export const MANIFEST = "supabase/daybook.json";
export const CONFIG = "supabase/config.toml";
/** What runs when; its owner changes it, too. */
export const SCHEDULES = "supabase/schedules.json";
/** What editors know of it. */
export const SCHEMA = "supabase/schedules.schema.json";

const manifestSchema = z.strictObject({
  /** Of Daybook. */
  version: z.string(),
  /** None: Daybook is uninstalled, and its ledger stayed in the database. */
  packs: z.array(z.string()),
  /** The hash that each file had when it was written. */
  files: z.record(z.string(), z.string()),
  /** Daybook's migrations by the names that they have in its checkout: their names here. */
  migrations: z.record(z.string(), z.string()),
  /**
   * The migrations, by their names in the checkout, for which things of the same names were renamed, to be named back
   * when Daybook goes.
   */
  moved_aside: z.array(z.string()).default([]),
  /** By pack, the hash that each entry of schedules.json had when it was written, by the name of its job. */
  schedules: z.record(z.string(), z.record(z.string(), z.string())).default({}),
});
/** What supabase/daybook.json says. */
export type Manifest = z.infer<typeof manifestSchema>;

export interface Project {
  /** The functions, the migrations, config.toml and what there is of schedules, by their paths in the project. */
  files: Files;
  /** Null: Daybook is not there. */
  manifest: Manifest | null;
  /** What is still said of a Daybook that was uninstalled, and whose ledger stayed in the database. */
  ledger?: Manifest;
}

/** Reads a project. Throws when the folder is none. */
export async function readProject(folder: string): Promise<Project> {
  const files = await readFiles(folder, ["supabase/functions", "supabase/migrations"]);
  const config = await readIfThere(join(folder, CONFIG));
  if (config === undefined) {
    throw new Error(`${folder} is no project: it has no ${CONFIG}; make one with: supabase init`);
  }
  files.set(CONFIG, config);
  for (const path of [SCHEDULES, SCHEMA]) {
    const text = await readIfThere(join(folder, path));
    if (text !== undefined) files.set(path, text);
  }
  const manifest = await readIfThere(join(folder, MANIFEST));
  if (manifest === undefined) return { files, manifest: null };
  return projectOf(files, parseJson(MANIFEST, manifest, manifestSchema));
}

/** A project with these files, and what its daybook.json says. */
export function projectOf(files: Files, manifest: Manifest): Project {
  return manifest.packs.length > 0
    ? { files, manifest }
    : { files, manifest: null, ledger: manifest };
}
