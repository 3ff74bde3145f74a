import type { Command } from "commander";
import { formatTable } from "../format-table.ts";
import type { History, Run, RunPage } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { jobIfAny, momentOf, runIdOf, wholeNumber } from "./options.ts";
import { readPages } from "./pages.ts";
import {
  durationOf,
  momentHeading,
  moments,
  oneLine,
  type Paint,
  paintFor,
  paintState,
  table,
  whatCame,
} from "./render.ts";
import { momentForms } from "./times.ts";
import { addNote, verb } from "./verb.ts";

interface Options {
  job?: string;
  status?: string;
  from?: string;
  to?: string;
  limit: number;
}

export function addRuns(program: Command, io: Io): void {
  const command = program.command("runs")
    .summary("the ledger, newest first; or one run")
    .description("The ledger, newest first; or one run with all that is known of it.")
    .argument("[run]", "the id of one run: its sentence, payload, result, error and attempts")
    .option("--job <NAME>", "of this job alone; its name or alias")
    .option(
      "--status <STATUS>",
      "queued, dispatched, running, completed, failed, deferred, skipped, missed or cancelled",
    )
    .option("--from <TIME>", "created at or after it")
    .option("--to <TIME>", "created before it")
    .option("--limit <N>", "at most so many", wholeNumber(1, 10_000), 20)
    .action(verb<Options>(io, async (call, id) => {
      const { source, options, zone, show } = call;
      const paint = paintFor(io);
      if (id !== undefined) {
        const page = await source.read<RunPage>(`runs/${runIdOf(id)}`);
        show(page, (page) => renderRun(page, zone, paint));
        return exitCodes.ok;
      }
      const history = await readPages<"runs", Run, Omit<History, "runs" | "next_cursor">>(
        source,
        "history",
        {
          job: jobIfAny(options.job),
          status: options.status,
          from: momentOf(io, call, "--from", options.from),
          to: momentOf(io, call, "--to", options.to),
        },
        "runs",
        options.limit,
      );
      show(history, ({ runs }) => renderRuns(runs, zone, paint));
      return exitCodes.ok;
    }));
  addNote(
    command,
    `${momentForms}
With --status of runs that have ended and no --job, --from and --to are of when they ended.`,
  );
}

function renderRuns(runs: Run[], zone: string, paint: Paint): string {
  if (runs.length === 0) return "No such runs";
  return table(
    [
      ...momentHeading("OCCURRENCE", zone),
      "JOB",
      "STATUS",
      "TOOK",
      "TRY",
      "RUN",
      "WHAT CAME OF IT",
    ],
    runs.map((run) => [
      ...moments(run.scheduled_for, run.time_zone, zone),
      run.job,
      paintState(paint, run.status),
      durationOf(run),
      `${run.attempt} ${run.trigger}`,
      run.run_id,
      whatCame(run),
    ]),
  );
}

function renderRun(page: RunPage, zone: string, paint: Paint): string {
  const { run } = page;
  const json = (label: string, value: unknown) =>
    value === null ? [] : [[label, oneLine(JSON.stringify(value))]];
  const [at, theirs] = moments(run.scheduled_for, run.time_zone, zone);
  return [
    oneLine(page.sentence),
    ...(page.remedy === null || run.status === "completed"
      ? []
      : [`What to do: ${oneLine(page.remedy)}`]),
    "",
    formatTable([
      ["run", run.run_id],
      ["occurrence", [at, zone, theirs && `(${theirs})`].filter(Boolean).join(" ")],
      ["status", paintState(paint, run.status)],
      ["took", durationOf(run) || "-"],
      ...json("payload", page.payload),
      ...json("result", page.result),
      ...(page.error_message === null ? [] : [["error", oneLine(page.error_message)]]),
    ]),
    "",
    renderRuns(page.attempts, zone, paint),
  ].join("\n");
}
