import assert from "node:assert/strict";
import { parse } from "@decimalturn/toml-patch";

const CONFIG = new URL("../../../supabase/config.toml", import.meta.url);
const FUNCTIONS = new URL("../../../supabase/functions/", import.meta.url);

Deno.test("config.toml turns verify_jwt off for each function there is, and for no other", async () => {
  const { functions } = parse(await Deno.readTextFile(CONFIG)) as {
    functions: Record<string, { verify_jwt: boolean }>;
  };
  const configured = Object.keys(functions).filter((name) => functions[name]!.verify_jwt === false);
  const folders: string[] = [];
  for await (const entry of Deno.readDir(FUNCTIONS)) {
    if (entry.isDirectory && !entry.name.startsWith("_")) folders.push(entry.name);
  }
  assert.deepEqual(configured.sort(), folders.sort());
});
