/**
 * The packs that the house is made of, as supabase/packs.json names them, and their SQL as supabase/sql holds it: what the
 * database is now. The migrations are made of it by `deno task release`.
 */
import type { Sql } from "postgres";
import { z } from "zod";
import { quoteLiteral } from "./bootstrap.ts";
import { readJobArguments } from "./job-arguments.ts";
import { parseJson } from "./parse-json.ts";
import { readIfThere } from "./read-if-there.ts";
import { argumentsOf, type Entry, readSchedulesText } from "./schedules.ts";

const SUPABASE = new URL("../supabase/", import.meta.url);

const entry = z.strictObject({
  description: z.string(),
  /** Packs that have to be there before it. */
  needs: z.array(z.string()),
  functions: z.array(z.string()),
  /** Whether it has alert rules, in grafana/alerts/<pack>.yml. */
  alerts: z.boolean().default(false),
  /** Its files in supabase/sql/<pack>, in the order in which they are applied. */
  sql: z.array(z.string().regex(/^[a-z][a-z0-9_]*$/)),
});
const packsSchema = z.record(z.string().regex(/^[a-z][a-z0-9-]*$/), entry);

export interface Pack extends z.infer<typeof entry> {
  name: string;
  /** The schema that it keeps what is private in. */
  schema: string;
}

/** All packs of a checkout, each after those that it needs. Throws where packs.json contradicts itself. */
export async function readPacks(root?: URL): Promise<Pack[]> {
  const supabase = root === undefined ? SUPABASE : new URL("supabase/", root);
  const text = await Deno.readTextFile(new URL("packs.json", supabase));
  const entries = parseJson("supabase/packs.json", text, packsSchema);
  const packs: Pack[] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const missing = entry.needs.filter((need) => !packs.some((pack) => pack.name === need));
    if (missing.length > 0) {
      throw new Error(`packs.json: ${name} must stand after what it needs: ${missing.join(", ")}`);
    }
    packs.push({ ...entry, name, schema: name.replaceAll("-", "_") });
  }
  return packs;
}

/** The named packs with all that they need, in order. Throws for a name that is none. */
export function withNeeds(packs: readonly Pack[], names: readonly string[]): Pack[] {
  const chosen = new Set<string>();
  const choose = (name: string) => {
    const pack = packs.find((pack) => pack.name === name);
    if (pack === undefined) {
      const known = packs.map((pack) => pack.name).join(", ");
      throw new Error(`There is no pack named ${name}; the packs are: ${known}`);
    }
    for (const need of pack.needs) choose(need);
    chosen.add(name);
  };
  for (const name of names) choose(name);
  return packs.filter((pack) => chosen.has(pack.name));
}

/** What runs when, by pack: schedules.json. */
export async function readSchedules(root?: URL): Promise<Record<string, Entry[]>> {
  const supabase = root === undefined ? SUPABASE : new URL("supabase/", root);
  const text = await Deno.readTextFile(new URL("schedules.json", supabase));
  return readSchedulesText("supabase/schedules.json", text, await readJobArguments()).sections;
}

/** Everything of a pack's SQL as one text: its files, then the jobs that schedules.json has for it. */
export async function packSql(pack: Pack): Promise<string> {
  const schedules = await readSchedules();
  const files = await Promise.all(
    pack.sql.map((subject) => readText(`sql/${pack.name}/${subject}.sql`)),
  );
  const entries = schedules[pack.name] ?? [];
  return [...files, ...entries.map((entry) => registration(pack.name, entry))].join("\n");
}

/** What leads from the version before to this one besides functions, written by hand; null: nothing. */
export async function readChanges(pack: Pack, version: string): Promise<string | null> {
  const file = new URL(`sql/${pack.name}/changes/${version}.sql`, SUPABASE);
  return await readIfThere(file) ?? null;
}

/** Applies the SQL of the packs, each in a transaction of its own. `sql` is connected as the role `postgres`. */
export async function applyPacks(sql: Sql, packs: readonly Pack[]): Promise<void> {
  for (const pack of packs) await applyPack(sql, pack.name, await packSql(pack));
}

/** Applies SQL of a pack in one transaction. Throws with the place at which Postgres stopped. */
export async function applyPack(sql: Sql, name: string, text: string): Promise<void> {
  await sql.begin((transaction) => transaction.unsafe(text)).catch((cause) => {
    const { position } = cause as { position?: string };
    const place = position === undefined
      ? ""
      : ` (near: ${text.slice(Number(position) - 1, Number(position) + 60)})`;
    throw new Error(`Cannot apply the pack ${name}: ${cause.message}${place}`, { cause });
  });
}

/** Registers the job of an entry. An interval that a variable may change is the one of the file. */
export function registration(source: string, entry: Entry): string {
  const given = JSON.stringify(argumentsOf(entry), null, 2);
  return `select scheduler.register_entry(${quoteLiteral(source)}, ${quoteLiteral(given)});\n`;
}

const readText = (path: string) => Deno.readTextFile(new URL(path, SUPABASE));
