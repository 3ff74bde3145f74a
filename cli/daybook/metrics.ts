import { type Command, Option } from "commander";
import { formatDuration } from "../format-table.ts";
import type { Metrics } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { jobIfAny } from "./options.ts";
import { readPages } from "./pages.ts";
import { momentHeading, moments, table } from "./render.ts";
import { addNote, verb } from "./verb.ts";

type Job = Metrics["jobs"][number];
type Window = Job["windows"]["24h"];
type Length = keyof Job["windows"];

const lengths: Length[] = ["1h", "24h", "7d", "30d"];

interface Options {
  window?: Length;
}

export function addMetrics(program: Command, io: Io): void {
  const command = program.command("metrics")
    .summary("how often, how well, how fast and how late each job ran")
    .description(
      "How often, how well, how fast and how late each job ran in the last 24 hours, or one job in four windows.",
    )
    .argument("[job]", "its name or alias")
    .addOption(
      new Option("--window <LENGTH>", "1h, 24h, 7d or 30d alone").choices(lengths),
    )
    .action(verb<Options>(io, async ({ source, options, zone, show }, job) => {
      const metrics = await readPages<"jobs", Job, Omit<Metrics, "jobs" | "next_cursor">>(
        source,
        "metrics",
        { job: jobIfAny(job) },
        "jobs",
      );
      const shown = options.window !== undefined
        ? [options.window]
        : job === undefined
        ? ["24h"] as const
        : lengths;
      show(metrics, ({ jobs }) => renderMetrics(jobs, shown, zone));
      return exitCodes.ok;
    }));
  addNote(
    command,
    `SUCCESS is of the runs that completed or failed. LOST: the function never told how the run ended. P50 and P95 are of how long runs took, LATE of how long after its moment a run was fired (p95). KNOWN SINCE is where a window begins, or later where no older run is kept; "-" where nothing is known. With --json all windows.`,
  );
}

function renderMetrics(jobs: Job[], shown: readonly Length[], zone: string): string {
  if (jobs.length === 0) return "There is no job";
  const [since] = momentHeading("KNOWN SINCE", zone);
  return table(
    [
      "JOB",
      "WINDOW",
      "RUNS",
      "SUCCESS",
      "FAILED",
      "MISSED",
      "LOST",
      "RETRIES",
      "P50",
      "P95",
      "LATE",
      since,
    ],
    jobs.flatMap(({ job, windows }) =>
      shown.map((length) => [job, length, ...cellsOf(windows[length], zone)])
    ),
  );
}

function cellsOf(window: Window, zone: string): string[] {
  const { runs, success_rate, failed, missed, lost, retries, duration, fire_lag, from } = window;
  const few = (count: number | null) => count ? String(count) : "";
  const ms = (value: number | null) => value === null ? "" : formatDuration(value);
  return [
    runs === null ? "-" : String(runs),
    success_rate === null ? "" : percent(success_rate),
    few(failed),
    few(missed),
    few(lost),
    few(retries),
    ms(duration.p50_ms),
    ms(duration.p95_ms),
    ms(fire_lag.p95_ms),
    moments(from, null, zone)[0],
  ];
}

/** Rounded down: 100% says that no run failed. */
function percent(rate: number): string {
  return `${Math.floor(Number((rate * 1000).toFixed(6))) / 10}%`;
}
