/** The verbs of an incident: stop all, resume all, and free locks. */
import type { Command } from "commander";
import { act, actAndSay, type ActOptions, asAct } from "./act.ts";
import type { Released } from "./answers.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { nameOf, wholeNumber } from "./options.ts";
import { oneLine } from "./render.ts";
import { verb } from "./verb.ts";

export function addReleaseLocks(program: Command, io: Io): void {
  asAct(
    program.command("release-locks")
      .summary("cancel the runs that hold locks")
      .description("Cancel the runs that hold the locks of these jobs, or of all.")
      .argument("[jobs...]", "their names or aliases")
      .option("--all", "every lock that is held"),
  ).action(verb<ActOptions & { all?: boolean }>(io, async (call, ...jobs) => {
    const { options, show } = call;
    if ((jobs.length === 0) !== (options.all === true)) {
      throw new CommandError(
        exitCodes.usage,
        "Cannot release locks: name jobs or give --all, one of them",
      );
    }
    const answer = await act<Released>(
      call,
      "emergency/force-release-locks",
      options.all ? {} : { jobs: jobs.map((job) => nameOf("job", job!)) },
    );
    show(
      answer,
      ({ released }) =>
        released.map(({ job, message }) => oneLine(`${job}: ${message}`)).join("\n") ||
        "No lock is held",
    );
    return exitCodes.ok;
  }));
}

export function addStop(program: Command, io: Io): void {
  asAct(
    program.command("stop")
      .summary("stop all jobs: an incident")
      .description("Stop all jobs, until restart: nothing more is sent.")
      .option("--end-runs", "cancel what is under way, too"),
  ).action(verb<ActOptions & { endRuns?: boolean }>(
    io,
    (call) => actAndSay(call, "emergency/stop", { end_runs: call.options.endRuns }),
  ));
}

export function addRestart(program: Command, io: Io): void {
  asAct(
    program.command("restart")
      .summary("resume all jobs after an incident")
      .description("Resume all jobs after an incident, in the order of their dependencies.")
      .option("--ramp <SECONDS>", "spread over so long (60)", wholeNumber(0, 86_400)),
  ).action(verb<ActOptions & { ramp?: number }>(
    io,
    (call) => actAndSay(call, "emergency/restart", { ramp_seconds: call.options.ramp }),
  ));
}
