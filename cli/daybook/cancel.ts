import type { Command } from "commander";
import { actAndSay, type ActOptions, asAct } from "./act.ts";
import type { Io } from "./io.ts";
import { runIdOf } from "./options.ts";
import { verb } from "./verb.ts";

export function addCancel(program: Command, io: Io): void {
  asAct(
    program.command("cancel")
      .summary("end a run that waits or is under way")
      .description("End a run that waits or is under way; it is not retried.")
      .argument("<run>", "its id"),
  ).action(verb<ActOptions>(
    io,
    async (call, run) => await actAndSay(call, `runs/${runIdOf(run)}/cancel`),
  ));
}
