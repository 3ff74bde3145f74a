/** What the doctor looks up on disk and through the Supabase CLI. */
import { parse } from "@decimalturn/toml-patch";
import { join } from "node:path";
import { readIfThere } from "../../local/read-if-there.ts";
import type { ListedKey, ListedProject, ProjectOnDisk } from "./doctor-findings.ts";
import { trySupabaseCli } from "./doctor-supabase.ts";

export async function isProject(folder: string): Promise<boolean> {
  return await readIfThere(join(folder, "supabase", "config.toml")) !== undefined;
}

/** To which project the Supabase CLI has linked the folder. */
export async function linkedRef(folder: string): Promise<string | undefined> {
  const ref = (await readIfThere(join(folder, "supabase", ".temp", "project-ref")))?.trim();
  return ref !== undefined && /^[a-z]{20}$/.test(ref) ? ref : undefined;
}

/** A project's config.toml and daybook.json. @throws Error where one cannot be read. */
export async function readProjectOnDisk(folder: string): Promise<ProjectOnDisk> {
  const manifest = await readIfThere(join(folder, "supabase", "daybook.json"));
  if (manifest === undefined) return { version: undefined, functions: [], behindJwt: [] };
  const { version, files } = JSON.parse(manifest) as {
    version: string;
    files: Record<string, string>;
  };
  const functions = [
    ...new Set(
      Object.keys(files).flatMap((path) =>
        /^supabase\/functions\/([^_][^/]*)\/index\.ts$/.exec(path)?.[1] ?? []
      ),
    ),
  ].sort();
  const config = parse(await readIfThere(join(folder, "supabase", "config.toml")) ?? "");
  return {
    version,
    functions,
    behindJwt: functions.filter((name) => config.functions?.[name]?.verify_jwt !== false),
  };
}

/** What the CLI lists, or what it said instead. */
export interface Listed<Item> {
  items: Item[] | undefined;
  said: string;
}

async function listed<Item>(folder: string, args: string[]): Promise<Listed<Item>> {
  const output = await trySupabaseCli([...args, "-o", "json"], {}, folder);
  if (output === undefined) return { items: undefined, said: "neither supabase nor npx is there" };
  try {
    const items = output.success ? JSON.parse(output.stdout) : undefined;
    return { items: Array.isArray(items) ? items : undefined, said: output.said };
  } catch {
    return { items: undefined, said: output.said };
  }
}

export const listProjects = (folder: string) => listed<ListedProject>(folder, ["projects", "list"]);

/** Their types alone are looked at, never the keys. */
export const listKeys = (folder: string) => listed<ListedKey>(folder, ["projects", "api-keys"]);

export const listFunctions = (folder: string) =>
  listed<{ slug: string }>(folder, ["functions", "list"]);

/** What `supabase --version` prints; undefined where there is no CLI. */
export async function cliVersion(folder: string): Promise<string | undefined> {
  const output = await trySupabaseCli(["--version"], {}, folder);
  return output?.success ? output.stdout.trim() : output?.said;
}
