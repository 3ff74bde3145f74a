import assert from "node:assert/strict";

const CONFIG = new URL("../../../supabase/config.toml", import.meta.url);
const FUNCTIONS = new URL("../../../supabase/functions/", import.meta.url);

Deno.test("config.toml turns verify_jwt off for each function there is, and for no other", async () => {
  const text = await Deno.readTextFile(CONFIG);
  const configured = [...text.matchAll(/^\[functions\.(\S+)\]\nverify_jwt = false$/gm)]
    .map((match) => match[1]);
  const folders: string[] = [];
  for await (const entry of Deno.readDir(FUNCTIONS)) {
    if (entry.isDirectory && !entry.name.startsWith("_")) folders.push(entry.name);
  }
  assert.deepEqual(configured.sort(), folders.sort());
});
