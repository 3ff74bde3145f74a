import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { importsOf } from "../../../install/imports.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

async function* files(directory: string, ending: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(join(root, directory))) {
    const path = join(directory, entry.name);
    if (entry.isDirectory) yield* files(path, ending);
    else if (entry.name.endsWith(ending)) yield path;
  }
}

const read = (path: string) => Deno.readTextFile(join(root, path));
const rooms = ["supabase/functions", "shared", "local", "install", "cli", "bench", "tests"];

Deno.test("imports come from npm, from node or from a relative path that ends in .ts", async () => {
  const pinned = Object.keys(JSON.parse(await read("deno.json")).imports);
  for (const room of rooms) {
    for await (const path of files(room, ".ts")) {
      for (const specifier of importsOf(await read(path))) {
        const known = specifier.startsWith("node:") ||
          (specifier.startsWith(".") && specifier.endsWith(".ts")) ||
          pinned.some((name) => specifier === name || specifier.startsWith(`${name}/`));
        assert.ok(known, `${path} imports ${specifier}`);
      }
    }
  }
});

Deno.test("every dependency is pinned to one version of npm", async () => {
  const { imports } = JSON.parse(await read("deno.json"));
  for (const [name, specifier] of Object.entries(imports)) {
    assert.match(specifier as string, /^npm:(@[\w-]+\/)?[\w.-]+@\d+\.\d+\.\d+[\w.-]*$/, name);
  }
});

Deno.test("every function lists the imports that it reaches, in the root's versions", async () => {
  const rootImports = JSON.parse(await read("deno.json")).imports;
  for await (const path of files("supabase/functions", "deno.json")) {
    const { imports } = JSON.parse(await read(path));
    for (const [name, specifier] of Object.entries(imports)) {
      assert.equal(specifier, rootImports[name], `${path}: ${name}`);
    }
    const needed = await reach(path.replace(/deno\.json$/, "index.ts"), new Set());
    assert.deepEqual(Object.keys(imports).sort(), [...needed].sort(), path);
  }
});

Deno.test("no function imports another function's folder, and none of them computes an import", async () => {
  for await (const path of files("supabase/functions", ".ts")) {
    const source = await read(path);
    assert.doesNotMatch(source, /\bimport\s*\(/, path);
    const folder = path.split("/").slice(0, 3).join("/");
    for (const specifier of importsOf(source).filter((specifier) => specifier.startsWith("."))) {
      const target = join(path, "..", specifier);
      assert.ok(
        target.startsWith(`${folder}/`) || target.startsWith("shared/"),
        `${path} imports ${target}`,
      );
    }
  }
});

/** The packages that a module and all it imports need at run time or for its types. */
async function reach(path: string, seen: Set<string>): Promise<Set<string>> {
  const packages = new Set<string>();
  if (seen.has(path)) return packages;
  seen.add(path);
  for (const specifier of importsOf(await read(path))) {
    if (specifier.startsWith("node:")) continue;
    if (specifier.startsWith(".")) {
      for (const name of await reach(join(path, "..", specifier), seen)) packages.add(name);
    } else {
      const parts = specifier.split("/");
      packages.add(specifier.startsWith("@") ? parts.slice(0, 2).join("/") : parts[0]!);
    }
  }
  return packages;
}

Deno.test("a module finds files beside it by their path, not by the escaped pathname of its URL", async () => {
  for (const room of rooms) {
    for await (const path of files(room, ".ts")) {
      const escaped = /import\.meta\.url,?\s*\)\s*\.pathname/.exec(await read(path));
      assert.equal(escaped?.[0], undefined, `${path} breaks in a folder with a blank in its name`);
    }
  }
});

Deno.test("no file imports itself by way of others, not even for a type", async () => {
  const imports = new Map<string, string[]>();
  for (const room of rooms) {
    for await (const path of files(room, ".ts")) {
      const relative = importsOf(await read(path)).filter((specifier) => specifier.startsWith("."));
      imports.set(path, relative.map((specifier) => join(dirname(path), specifier)));
    }
  }
  assert.ok(imports.size > 300, String(imports.size));
  const done = new Set<string>();
  const visit = (path: string, way: string[]) => {
    const start = way.indexOf(path);
    assert.equal(start, -1, [...way.slice(start), path].join(" -> "));
    if (done.has(path)) return;
    for (const next of imports.get(path) ?? []) visit(next, [...way, path]);
    done.add(path);
  };
  for (const path of imports.keys()) visit(path, []);
});
