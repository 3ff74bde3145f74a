/** `deno task install <folder>`: puts Daybook into a project of the Supabase CLI. See `--help`. */
import { nextAfterInstall, planInstall } from "../install/plan-install.ts";
import { runTask } from "../install/run.ts";
import { readArguments, readFolder } from "./arguments.ts";

const USAGE = `Put Daybook, or packs of it, into a project of the Supabase CLI.

deno task install <project folder> [options]

  --pack NAME   a pack of supabase/packs.json, with what it needs; may be given again (scheduler)
  --dry-run     say what would be written, and write nothing
  --db-url URL  look into this database for names that are in the way; without it the migrations are read
  --move-aside  rename what is in the way in the database to <name>_before_daybook, by a migration; also for a pack that
                is installed and whose migration was refused
  --help        this text

It says what it will write, and writes nothing when something of that name is there and not Daybook's.`;

const { values, positionals } = readArguments(USAGE, {
  pack: { type: "string", multiple: true, default: ["scheduler"] },
  "dry-run": { type: "boolean", default: false },
  "db-url": { type: "string" },
  "move-aside": { type: "boolean", default: false },
}, { allowPositionals: true });

await runTask({
  folder: readFolder(positionals, USAGE),
  dryRun: values["dry-run"],
  databaseUrl: values["db-url"],
  decide: (source, project, names, applied) =>
    planInstall(source, project, {
      names,
      applied,
      at: new Date(),
      packs: values.pack,
      aside: values["move-aside"],
    }),
  next: nextAfterInstall,
});
