/** What `supabase secrets set` and `secrets unset` do, for a project of deployed-project.ts. */
import { parse } from "@decimalturn/toml-patch";
import { parseArgs } from "node:util";
import { join } from "node:path";

const [url, ...args] = Deno.args;
const { values, positionals } = parseArgs({
  args,
  allowPositionals: true,
  options: { yes: { type: "boolean" }, workdir: { type: "string" } },
});
const [noun, verb, ...names] = positionals;
const folder = join(values.workdir!, "supabase");
const ref = await Deno.readTextFile(join(folder, ".temp", "project-ref"));
if (noun !== "secrets" || !values.yes || ref !== "abcdefghijklmnopqrst") Deno.exit(1);

function configured(): Record<string, string> {
  const config = parse(Deno.readTextFileSync(join(folder, "config.toml")));
  const secrets = config.edge_runtime.secrets as Record<string, string>;
  return Object.fromEntries(
    Object.entries(secrets).map(([name, text]) => [
      name,
      Deno.env.get(/^env\((\w+)\)$/.exec(text)![1]!)!,
    ]),
  );
}

const change = verb === "set"
  ? configured()
  : Object.fromEntries(names.map((name) => [name, null]));
const response = await fetch(`${url}/variables`, { method: "POST", body: JSON.stringify(change) });
Deno.exit(response.ok ? 0 : 1);
