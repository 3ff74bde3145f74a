import type { Command } from "commander";
import { exitCodes, type Io } from "./io.ts";
import { paintFor } from "./render.ts";
import {
  missingFunctions,
  ownersNote,
  projectOption,
  refuseFaults,
  refuseForeign,
  sameOptions,
  type SchedulesOptions,
  withSchedules,
} from "./schedules.ts";
import { planOf } from "./schedules-compare.ts";
import { renderPlan } from "./schedules-render.ts";
import { addNote, endWith } from "./verb.ts";

export function addPlan(program: Command, io: Io): void {
  const command = program.command("plan")
    .summary("what schedules.json would change in the registry")
    .description("Say what applying supabase/schedules.json would change in the registry.")
    .option(...projectOption)
    .action(async function (this: Command) {
      const options = this.optsWithGlobals<SchedulesOptions>();
      endWith(
        this,
        await withSchedules(options, io, async ({ registry, schedules, jobs, notes, database }) => {
          const plan = planOf(await registry.rehearse(jobs), jobs);
          refuseForeign(plan, schedules);
          const warnings = missingFunctions(plan, jobs, schedules);
          const { file } = schedules;
          if (options.json) {
            io.print(JSON.stringify({ file, database, ...plan, notes, warnings }, null, 2));
          } else {
            const zone = options.utc ? "UTC" : io.zone;
            io.print(`${file}\n${database}\n`);
            if (notes.length > 0) io.print(`${notes.join("\n")}\n`);
            io.print(renderPlan(plan, { paint: paintFor(io), zone }));
            for (const warning of warnings) io.print(`warning: ${warning}`);
            if (plan.changes.length > 0 && plan.faults.length === 0) {
              io.print(
                `\ndeno task daybook apply${
                  sameOptions(options)
                } --plan ${plan.fingerprint} --reason … does this and nothing else`,
              );
            }
          }
          refuseFaults(plan.faults, jobs, schedules);
          return plan.changes.length === 0 ? exitCodes.ok : exitCodes.differs;
        }),
      );
    });
  addNote(
    command,
    "It registers all of it in a transaction that is undone, so what it shows is what register_job " +
      "does. Jobs that are registered in SQL are left alone. It ends with 0 when nothing would " +
      `change, with 5 when something would, and with 2 when an entry is wrong. ${ownersNote}`,
  );
}
