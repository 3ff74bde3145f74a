/** `deno task upgrade <folder>`: brings the Daybook in a project to this version. See `--help`. */
import { planUpgrade } from "../install/plan-upgrade.ts";
import { runTask } from "../install/run.ts";
import { readArguments, readFolder } from "./arguments.ts";

const USAGE = `Bring the Daybook in a project to the version of this checkout.

deno task upgrade <project folder> [options]

  --dry-run     say what would be written, and write nothing
  --db-url URL  look into this database for names that are in the way; without it the migrations are read
  --help        this text

Files that you have changed stay as they are; each is named, with how it differs from the new one.`;

const { values, positionals } = readArguments(USAGE, {
  "dry-run": { type: "boolean", default: false },
  "db-url": { type: "string" },
}, { allowPositionals: true });

await runTask({
  folder: readFolder(positionals, USAGE),
  dryRun: values["dry-run"],
  databaseUrl: values["db-url"],
  decide: (source, project, names) => planUpgrade(source, project, { names, at: new Date() }),
  next: () => [
    "supabase db push",
    "supabase functions deploy",
    "deno task daybook plan --project <folder>  (whether the jobs are as supabase/schedules.json says)",
    "read CHANGELOG.md of Daybook",
  ],
});
