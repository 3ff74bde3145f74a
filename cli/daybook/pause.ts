import type { Command } from "commander";
import { actAndSay, type ActOptions, asAct } from "./act.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { momentOf, routeOf } from "./options.ts";
import { momentForms } from "./times.ts";
import { addNote, verb } from "./verb.ts";

interface Options extends ActOptions {
  group?: string;
  until?: string;
}

export function addPause(program: Command, io: Io): void {
  const command = asAct(
    program.command("pause")
      .summary("pause a job or a group")
      .description("Pause a job, or all jobs of a group: what comes due meanwhile is skipped.")
      .argument("[job]", "its name or alias")
      .option("--group <NAME>", "a group instead of a job")
      .option("--until <TIME>", "until then; without it until it is resumed"),
  ).action(verb<Options>(io, async (call, job) => {
    const until = momentOf(io, call, "--until", call.options.until, true);
    return await actAndSay(call, subjectOf("pause", job, call.options.group), { until });
  }));
  addNote(command, momentForms);
}

export function addResume(program: Command, io: Io): void {
  asAct(
    program.command("resume")
      .summary("end the pause of a job or a group")
      .description("End the pause of a job, or of a group.")
      .argument("[job]", "its name or alias")
      .option("--group <NAME>", "a group instead of a job"),
  ).action(verb<Options>(
    io,
    async (call, job) => await actAndSay(call, subjectOf("resume", job, call.options.group)),
  ));
}

/** The route of that verb for a job or a group: one of them is given. */
function subjectOf(verb: string, job: string | undefined, group: string | undefined): string {
  if ((job === undefined) === (group === undefined)) {
    throw new CommandError(
      exitCodes.usage,
      `Cannot ${verb}: name a job or give --group, one of them`,
    );
  }
  return job === undefined ? routeOf("group", group!, verb) : routeOf("job", job, verb);
}
