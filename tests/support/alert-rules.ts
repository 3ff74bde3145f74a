import { fileURLToPath } from "node:url";
import { readPacks } from "../../local/packs.ts";

const folder = new URL("../../grafana/alerts/", import.meta.url);

/** The packs that have alert rules, in order. */
export const alertPacks = (await readPacks()).filter(({ alerts }) => alerts).map(({ name }) =>
  name
);

/** The files with the rules, and those with their tests. */
export const ruleFiles = alertPacks.map((pack) => fileURLToPath(new URL(`${pack}.yml`, folder)));
export const ruleTestFiles = [...Deno.readDirSync(folder)].map(({ name }) => name)
  .filter((name) => name.endsWith("_test.yml")).sort()
  .map((name) => fileURLToPath(new URL(name, folder)));

/** All rules as one text. */
export async function readRules(): Promise<string> {
  return (await Promise.all(ruleFiles.map((file) => Deno.readTextFile(file)))).join("\n");
}
