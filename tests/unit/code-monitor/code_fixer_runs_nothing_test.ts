import assert from "node:assert/strict";

const functions = new URL("../../../supabase/functions/", import.meta.url);

/** The sources of a function's folder and of all it imports from shared/. */
async function sources(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const open = [new URL(`${folder}/index.ts`, functions).href];
  for (let file = open.pop(); file; file = open.pop()) {
    if (found.has(file)) continue;
    const source = await Deno.readTextFile(new URL(file));
    found.set(file, source);
    for (const [, path] of source.matchAll(/from "(\.[^"]+)"/g)) {
      open.push(new URL(path!, file).href);
    }
  }
  return found;
}

/** Every way in which Deno and the web run code or programs, or write files. */
const ways =
  /\beval\b|\bFunction\s*\(|\bnew Function\b|\bimport\s*\(|\bWorker\b|WebAssembly|node:(?:vm|child_process|worker_threads|fs|module)|Deno\.(?!env\b)\w+|setTimeout\(\s*["'`]/;

for (const folder of ["autonomous-code-fixer", "code-monitor-daemon"]) {
  Deno.test(`${folder} reaches nothing that runs code or programs, or writes files`, async () => {
    const all = await sources(folder);
    assert.ok(all.size > 10);
    for (const [file, source] of all) {
      const code = source.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
      assert.doesNotMatch(code, ways, file);
    }
  });
}
