import type { Command } from "commander";
import { actAndSay, type ActOptions, asAct } from "./act.ts";
import type { Io } from "./io.ts";
import { routeOf } from "./options.ts";
import { verb } from "./verb.ts";

export function addCloseBreaker(program: Command, io: Io): void {
  asAct(
    program.command("close-breaker")
      .summary("let the calls of a job go again")
      .description("Close the breaker of a job, so that it runs again at once.")
      .argument("<job>", "its name or alias"),
  ).action(verb<ActOptions>(
    io,
    (call, job) => actAndSay(call, routeOf("job", job!, "close-breaker")),
  ));
}
