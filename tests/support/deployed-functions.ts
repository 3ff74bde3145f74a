/**
 * The names of the edge functions that are jobs: the folders of supabase/functions whose index.ts serves one. Others
 * (prometheus-metrics) have manners of their own.
 */
export async function deployedJobs(): Promise<string[]> {
  const directory = new URL("../../supabase/functions/", import.meta.url);
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    if (!isDirectory) continue;
    const files = [...Deno.readDirSync(new URL(`${name}/`, directory))].map((file) => file.name);
    if (!files.includes("index.ts")) continue;
    const index = await Deno.readTextFile(new URL(`${name}/index.ts`, directory));
    if (index.includes("serveJob(")) names.push(name);
  }
  return names.sort();
}
