import type { Command } from "commander";
import type { Failures } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { momentOf } from "./options.ts";
import { readPages } from "./pages.ts";
import {
  momentHeading,
  moments,
  oneLine,
  type Paint,
  paintFor,
  paintState,
  table,
  whatCame,
} from "./render.ts";
import { clockTime, momentForms } from "./times.ts";
import { addNote, verb } from "./verb.ts";

type Broken = Failures["jobs"][number];

export function addFailures(program: Command, io: Io): void {
  const command = program.command("failures")
    .summary("what is still broken since yesterday")
    .description(
      "What is still broken since yesterday; a job that completed a run since is mended, and left out.",
    )
    .option("--since <TIME>", "since then", "1d")
    .action(verb<{ since: string }>(io, async (call) => {
      const { source, options, zone, show } = call;
      const failures = await readPages<"jobs", Broken, Omit<Failures, "jobs" | "next_cursor">>(
        source,
        "failures",
        { since: momentOf(io, call, "--since", options.since) },
        "jobs",
      );
      show(failures, (failures) => renderFailures(failures, zone, paintFor(io)));
      return failures.jobs.length > 0 ? exitCodes.jobs : exitCodes.ok;
    }));
  addNote(
    command,
    `It ends with 1 when a job is broken.
${momentForms}
Each failed run, mended or not: deno task daybook runs --status failed --from 1d`,
  );
}

function renderFailures({ jobs, since }: Failures, zone: string, paint: Paint): string {
  if (jobs.length === 0) return `Nothing is broken since ${clockTime(since, zone)} ${zone}`;
  const list = table(
    ["JOB", "FAILED", "MISSED", ...momentHeading("BROKEN SINCE", zone), "RETRY", "LAST", "WHY"],
    jobs.map((broken) => [
      broken.job,
      String(broken.failed || ""),
      String(broken.missed || ""),
      ...moments(broken.first_at, broken.last_run.time_zone, zone),
      broken.retry === null ? "" : `${broken.retry.attempt} ${broken.retry.status}`,
      paintState(paint, broken.last_run.status),
      whatCame(broken.last_run),
    ]),
  );
  const remedies = jobs.map(({ job, remedy, last_run }) =>
    `${job}: ${oneLine(remedy ?? "see its runs")} (run ${last_run.run_id})`
  );
  return `${list}\n\nWhat to do\n${remedies.map((line) => `  ${line}`).join("\n")}`;
}
