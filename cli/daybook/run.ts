import type { Command } from "commander";
import type { NewRun } from "./answers.ts";
import { act, type ActOptions, asAct } from "./act.ts";
import { type ExitCode, exitCodes, type Io } from "./io.ts";
import { payloadForms, readPayload, routeOf, runIdOf } from "./options.ts";
import { paintFor } from "./render.ts";
import { addNote, type Call, verb } from "./verb.ts";
import { exitCodeOf, renderOutcome, waitForRun } from "./wait-for-run.ts";

interface Options extends ActOptions {
  wait?: boolean;
  payload?: string;
}

const waitNote =
  `With --wait it ends with 0 when the run completed, and with 1 when it did not. Ctrl-C ends the waiting, not the run.`;

export function addRun(program: Command, io: Io): void {
  const command = asAct(
    program.command("run")
      .summary("run a job now")
      .description("Run a job now, also while it is paused or disabled.")
      .argument("<job>", "its name or alias")
      .option("--wait", "until it has ended")
      .option(
        "--payload <JSON>",
        payloadForms,
      ),
  ).action(verb<Options>(io, async (call, job) => {
    const payload = await readPayload(call.options.payload);
    const started = await act<NewRun>(call, routeOf("job", job!, "run"), {
      ...(payload === undefined ? {} : { payload }),
    });
    return await sayRun(call, started, io);
  }));
  addNote(command, waitNote);
}

export function addRetry(program: Command, io: Io): void {
  const command = asAct(
    program.command("retry")
      .summary("make one more attempt of a run")
      .description("Make one more attempt of a run that failed, or did not run.")
      .argument("<run>", "its id")
      .option("--wait", "until it has ended"),
  ).action(verb<Options>(io, async (call, run) => {
    const started = await act<NewRun>(call, `runs/${runIdOf(run)}/retry`);
    return await sayRun(call, started, io);
  }));
  addNote(command, waitNote);
}

/** Says which run it is and, with `--wait`, how it ended. */
async function sayRun(call: Call<Options>, started: NewRun, io: Io): Promise<ExitCode> {
  const { source, options, show } = call;
  if (!options.wait) {
    show(started, ({ run_id }) => `run ${run_id} is under way`);
    return exitCodes.ok;
  }
  if (!options.json) io.print(`run ${started.run_id} is under way`);
  const page = await waitForRun(source, started.run_id, io);
  show(page, ({ run }) => renderOutcome(run, paintFor(io)));
  return exitCodeOf(page.run);
}
