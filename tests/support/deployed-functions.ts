/** The names of the edge functions there are: the folders of supabase/functions with an index.ts. */
export async function deployedFunctions(): Promise<string[]> {
  const directory = new URL("../../supabase/functions/", import.meta.url);
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (!isDirectory) continue;
    const files = [...Deno.readDirSync(new URL(`${name}/`, directory))].map((file) => file.name);
    if (files.includes("index.ts")) names.push(name);
  }
  return names.sort();
}
