import type { Command } from "commander";
import type { Next } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { jobIfAny, wholeNumber } from "./options.ts";
import { readPages } from "./pages.ts";
import { momentHeading, moments, oneLine, table } from "./render.ts";
import { verb } from "./verb.ts";

type Occurrence = Next["occurrences"][number];

export function addNext(program: Command, io: Io): void {
  program.command("next")
    .summary("what runs next")
    .description("What runs next: of a job its occurrences to come, else the next one of each job.")
    .argument("[job]", "its name or alias")
    .option("--limit <N>", "at most so many", wholeNumber(1, 10_000), 10)
    .action(verb<{ limit: number }>(io, async ({ source, options, zone, show }, job) => {
      const next = await readPages<
        "occurrences",
        Occurrence,
        Omit<Next, "occurrences" | "next_cursor">
      >(
        source,
        "next",
        { job: jobIfAny(job) },
        "occurrences",
        options.limit,
      );
      show(
        next,
        ({ occurrences }) =>
          occurrences.length === 0 ? "No job has a next occurrence" : table(
            [...momentHeading("RUNS AT", zone), "JOB", "NOTE"],
            occurrences.map(({ job, run_at, time_zone, note }) => [
              ...moments(run_at, time_zone, zone),
              job,
              oneLine(note ?? ""),
            ]),
          ),
      );
      return exitCodes.ok;
    }));
}
