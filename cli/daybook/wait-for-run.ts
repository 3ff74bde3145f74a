import { isOver } from "../runs.ts";
import type { Run, RunPage } from "./answers.ts";
import { type ExitCode, exitCodes, type Io } from "./io.ts";
import { durationOf, type Paint, paintState, whatCame } from "./render.ts";
import type { Source } from "./source.ts";

const pollMs = 500;

/** Waits until a run and every further attempt at its occurrence are over; the page of the last one. */
export async function waitForRun(source: Source, runId: string, io: Io): Promise<RunPage> {
  while (true) {
    const page = await source.read<RunPage>(`runs/${runId}`);
    const open = page.attempts.find((attempt) => !isOver(attempt));
    const last = page.attempts.at(-1) ?? page.run;
    if (open === undefined && isOver(page.run)) {
      return last.run_id === runId || last.attempt <= page.run.attempt
        ? page
        : await source.read<RunPage>(`runs/${last.run_id}`);
    }
    await io.pause(pollMs);
    io.signal.throwIfAborted();
  }
}

/** How the command ends that waited for a run. */
export function exitCodeOf({ status }: Pick<Run, "status">): ExitCode {
  return status === "completed" ? exitCodes.ok : exitCodes.jobs;
}

/** What came of the run, in a line. */
export function renderOutcome(run: Run, paint: Paint): string {
  const took = durationOf(run);
  const came = whatCame(run);
  return `run ${run.run_id} ${paintState(paint, run.status)}${took && ` in ${took}`}${
    came && `: ${came}`
  }`;
}
