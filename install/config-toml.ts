/** The sections of functions in a project's config.toml. Whatever else is in it stays as it is. */
import { parse, patch } from "@decimalturn/toml-patch";
import assert from "node:assert/strict";

interface Config {
  functions?: Record<string, unknown>;
}

/** The functions that have a section. Throws where the file is no TOML. */
export function configuredFunctions(toml: string): string[] {
  return Object.keys((parse(toml) as Config).functions ?? {});
}

/** The file with a section more for each function, at its end, where it disturbs no comment. */
export function addFunctions(toml: string, names: readonly string[]): string {
  if (names.length === 0) return toml;
  const sections = names.map((name) =>
    `\n[functions.${name}]\nverify_jwt = false # Daybook: the handler checks who calls\n`
  );
  const added = `${toml}${toml === "" || toml.endsWith("\n") ? "" : "\n"}${sections.join("")}`;
  const wanted = parse(toml) as Config;
  wanted.functions ??= {};
  for (const name of names) wanted.functions[name] = { verify_jwt: false };
  return checked(added, wanted);
}

/** The file without the sections of these functions. */
export function removeFunctions(toml: string, names: readonly string[]): string {
  const wanted = parse(toml) as Config;
  const there = names.filter((name) => wanted.functions?.[name] !== undefined);
  if (there.length === 0) return toml;
  for (const name of there) delete wanted.functions![name];
  if (Object.keys(wanted.functions!).length === 0) delete wanted.functions;
  return checked(patch(toml, wanted), wanted);
}

/** Editing that led elsewhere must not be written. */
function checked(toml: string, wanted: Config): string {
  try {
    assert.deepEqual(plain(parse(toml)), plain(wanted));
  } catch (cause) {
    throw new Error(
      "Cannot edit supabase/config.toml: its table functions is written in a way that cannot be added to; " +
        "write each function as a section [functions.<name>]",
      { cause },
    );
  }
  return toml;
}

/** The parser's objects have no prototype. */
const plain = (config: unknown) => structuredClone(config);
