/** `deno task uninstall <folder>`: takes Daybook, or packs of it, out of a project. See `--help`. */
import { nextAfterUninstall, planUninstall } from "../install/plan-uninstall.ts";
import { runTask } from "../install/run.ts";
import { readArguments, readFolder } from "./arguments.ts";

const USAGE = `Take Daybook, or packs of it, out of a project.

deno task uninstall <project folder> [options]

  --pack NAME    only this pack; may be given again (all)
  --drop-ledger  also what happened: scheduler_runs, scheduler_state, scheduler_activity, scheduler_health_history
  --dry-run      say what would be written and deleted, and do nothing
  --help         this text

It deletes the files that you have not changed, and writes a migration that takes the rest out of the database.
A function with a file that you have changed stays whole. What install --move-aside renamed is named back; but where
the ledger stays, what has a name of the ledger keeps its new name, with what uses it, until uninstall --drop-ledger,
which may also be run later.`;

const { values, positionals } = readArguments(USAGE, {
  pack: { type: "string", multiple: true, default: [] },
  "drop-ledger": { type: "boolean", default: false },
  "dry-run": { type: "boolean", default: false },
}, { allowPositionals: true });

await runTask({
  folder: readFolder(positionals, USAGE),
  dryRun: values["dry-run"],
  decide: (source, project) =>
    planUninstall(source, project, {
      packs: values.pack,
      dropLedger: values["drop-ledger"],
      at: new Date(),
    }),
  next: nextAfterUninstall,
});
