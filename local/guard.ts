import { quoteLiteral } from "./bootstrap.ts";
import { keyOf, listNames, type Names } from "./names.ts";

const template = await Deno.readTextFile(new URL("./guard.sql", import.meta.url));

/** The first statement of a pack's migration: it refuses, naming each, when what the pack makes is there already. */
export function guardOf(pack: string, makes: Names): string {
  const wanted = (space: string) =>
    listNames(makes).filter((name) => keyOf(name).startsWith(`${space} `)).map(({ name }) => name);
  if (listNames(makes).length === 0) return "";
  return fillIn(template, {
    pack: quoteLiteral(pack),
    schemas: literalArray(wanted("schema")),
    relations: literalArray(wanted("relation")),
    functions: literalArray(wanted("function")),
    jobs: literalArray(wanted("job")),
  }) + "\n";
}

/** An SQL file with its `:name`s replaced. */
export function fillIn(template: string, values: Record<string, string>): string {
  return template.replace(/(?<=\s):([a-z_]+)/g, (whole, name) => values[name] ?? whole);
}

/** An array of texts in SQL, in short lines. */
export function literalArray(values: readonly string[]): string {
  if (values.length === 0) return "array[]::text[]";
  const lines = [""];
  for (const [index, value] of values.entries()) {
    const item = quoteLiteral(value) + (index < values.length - 1 ? "," : "");
    const line = lines.at(-1)!;
    if (line !== "" && line.length + item.length >= 76) lines.push(item);
    else lines[lines.length - 1] = line === "" ? item : `${line} ${item}`;
  }
  return lines.length === 1 ? `array[${lines[0]}]` : `array[\n    ${lines.join("\n    ")}]`;
}
