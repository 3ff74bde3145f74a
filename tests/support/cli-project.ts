/** Projects as the Supabase CLI makes them, and Daybook's commands run on them as people run them. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runSupabase } from "../../local/supabase-cli.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface CliProject {
  folder: string;
  /** `supabase <args>` there; what it printed. Throws with its output when it fails. */
  supabase(args: string[], env?: Record<string, string>): Promise<string>;
  /** `deno run -A <checkout>/cli/<name>.ts <args>` there. */
  daybook(name: string, args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  write(path: string, text: string): Promise<void>;
  read(path: string): Promise<string>;
}

/** Runs `fn` with what `supabase init` makes, in a folder with a blank in its name, and removes it afterwards. */
export async function withCliProject(fn: (project: CliProject) => Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "daybook-project-" });
  const folder = join(parent, "my project");
  await Deno.mkdir(folder);
  const supabase = (args: string[], env: Record<string, string> = {}) =>
    runSupabase(args, { cwd: folder, env });
  try {
    await supabase(["init"]);
    await fn({
      folder,
      supabase,
      async daybook(name, args) {
        const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["run", "-A", join(root, `cli/${name}.ts`), ...args],
          cwd: folder,
          env: { NO_COLOR: "1", INIT_CWD: folder },
        }).output();
        const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
        return { code, stdout: text(stdout), stderr: text(stderr) };
      },
      async write(path, text) {
        await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
        await Deno.writeTextFile(join(folder, path), text);
      },
      read: (path) => Deno.readTextFile(join(folder, path)),
    });
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}
