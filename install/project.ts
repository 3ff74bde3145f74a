/** A project in the Supabase CLI's shape, into which Daybook moves. */
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../local/parse-json.ts";
import { type Files, readFiles } from "./files.ts";

export const MANIFEST = "supabase/daybook.json";
export const CONFIG = "supabase/config.toml";

const manifestSchema = z.strictObject({
  /** Of Daybook. */
  version: z.string(),
  packs: z.array(z.string()),
  /** The hash that each file had when it was written. */
  files: z.record(z.string(), z.string()),
  /** Daybook's migrations by the names that they have in its checkout: their names here. */
  migrations: z.record(z.string(), z.string()),
  /** Whether things of the same names were renamed, to be named back when Daybook goes. */
  moved_aside: z.boolean().default(false),
});
/** What supabase/daybook.json says. */
export type Manifest = z.infer<typeof manifestSchema>;

export interface Project {
  /** The functions, the migrations and config.toml, by their paths in the project. */
  files: Files;
  /** Null: Daybook is not there. */
  manifest: Manifest | null;
}

/** Reads a project. Throws when the folder is none. */
export async function readProject(folder: string): Promise<Project> {
  const files = await readFiles(folder, ["supabase/functions", "supabase/migrations"]);
  const config = await readIfThere(join(folder, CONFIG));
  if (config === null) {
    throw new Error(`${folder} is no project: it has no ${CONFIG}; make one with: supabase init`);
  }
  files.set(CONFIG, config);
  const manifest = await readIfThere(join(folder, MANIFEST));
  if (manifest === null) return { files, manifest };
  return { files, manifest: parseJson(MANIFEST, manifest, manifestSchema) };
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
