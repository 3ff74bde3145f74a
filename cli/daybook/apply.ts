import type { Command } from "commander";
import { type ActOptions, asAct, reasonOf } from "./act.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { authorOfProfile } from "./profile.ts";
import { paintFor } from "./render.ts";
import {
  ownersNote,
  projectOption,
  refuseFaults,
  refuseForeign,
  type SchedulesOptions,
  withSchedules,
} from "./schedules.ts";
import { planOf, type SchedulesPlan } from "./schedules-compare.ts";
import { renderPlan } from "./schedules-render.ts";
import { addNote, endWith, namedAuthor } from "./verb.ts";

interface Options extends SchedulesOptions, ActOptions {
  plan?: string;
  yes?: boolean;
}

export function addApply(program: Command, io: Io): void {
  const command = asAct(
    program.command("apply")
      .summary("makes the registry what schedules.json says")
      .description("Make the registry what supabase/schedules.json says, in one transaction.")
      .option(...projectOption)
      .option("--plan <FINGERPRINT>", "do what plan showed, and nothing if that is another by now")
      .option("--yes", "do whatever plan would show now"),
  ).action(async function (this: Command) {
    const options = this.optsWithGlobals<Options>();
    const { plan, notes } = await apply(options, io);
    if (options.json) io.print(JSON.stringify({ ...plan, notes }, null, 2));
    else {
      if (notes.length > 0) io.print(`${notes.join("\n")}\n`);
      const zone = options.utc ? "UTC" : io.zone;
      io.print(renderPlan(plan, { paint: paintFor(io), zone, isDone: true }));
    }
    endWith(this, exitCodes.ok);
  });
  addNote(
    command,
    "Each job that changes leaves a row in the audit log, with the reason and the author. What is " +
      `paused stays paused. Applied again, it changes nothing. ${ownersNote}`,
  );
}

async function apply(
  options: Options,
  io: Io,
): Promise<{ plan: SchedulesPlan; notes: string[] }> {
  if ((options.plan === undefined) === (options.yes === undefined)) {
    throw new CommandError(
      exitCodes.usage,
      "Cannot apply: give --plan with the fingerprint that plan printed, or --yes, one of them",
    );
  }
  const reason = reasonOf(options);
  const author = namedAuthor(options.author, await authorOfProfile(options.profile, io), io);
  return await withSchedules(
    options,
    io,
    async ({ registry, schedules, jobs, notes }) => ({
      notes,
      plan: await registry.apply(jobs, { reason, author }, (facts) => {
        const plan = planOf(facts, jobs);
        refuseForeign(plan, schedules);
        refuseFaults(plan.faults, jobs, schedules);
        const isOther = options.plan !== undefined && options.plan !== plan.fingerprint;
        // With nothing left to change an old fingerprint is no fault: somebody has applied the plan.
        if (isOther && plan.changes.length > 0) {
          throw new CommandError(
            exitCodes.refused,
            `Nothing was changed: by now the plan is ${plan.fingerprint}, not ${options.plan}`,
            "the file, a variable or the registry changed since: deno task daybook plan",
          );
        }
        return plan;
      }),
    }),
  );
}
