import type { Command } from "commander";
import { formatDuration } from "../format-table.ts";
import type { Forecast } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { jobIfAny } from "./options.ts";
import { readPages } from "./pages.ts";
import { oneLine, table } from "./render.ts";
import { addNote, verb } from "./verb.ts";

type Job = Forecast["jobs"][number];
type Finding = Job["findings"][number];
type Rest = Omit<Forecast, "jobs" | "next_cursor">;

const noForecast = "the pulse has made no forecast yet";

export function addForecast(program: Command, io: Io): void {
  const command = program.command("forecast")
    .summary("what comes: jobs that outgrow their limits, the ledger's size, the cost")
    .description(
      "What is foreseen of every job, the nearest day first, of the ledger and of the cost; or of one job with its figures.",
    )
    .argument("[job]", "its name or alias")
    .action(verb(io, async ({ source, show }, job) => {
      const forecast = await readPages<"jobs", Job, Rest>(
        source,
        "forecast",
        { job: jobIfAny(job) },
        "jobs",
      );
      show(forecast, (answer) => job === undefined ? renderAll(answer) : renderJob(answer.jobs));
      return exitCodes.ok;
    }));
  addNote(
    command,
    "The pulse makes forecasts once a UTC day, and of a job that was changed. Days are of UTC. Nothing is said by fewer " +
      "than 14 days, or where no trend is proven: docs/forecasts.md says how each is reckoned. With --json also what " +
      "the sentences leave out.",
  );
}

function renderAll({ jobs, project }: Rest & { jobs: Job[] }): string {
  const parts = [renderFindings(jobs)];
  if (project === null) parts.push("Ledger and cost: " + noForecast);
  else parts.push(`Ledger: ${project.ledger.sentence}`, `Cost: ${project.cost.sentence}`);
  return parts.join("\n\n");
}

function renderFindings(jobs: Job[]): string {
  const rows = jobs.flatMap((job) =>
    job.error === null
      ? job.findings.map((finding) => ({ job, day: dayOf(finding), what: whatOf(finding, job) }))
      : [{ job, day: "", what: job.error }]
  );
  if (rows.length === 0) {
    const unmade = jobs.filter(({ made_at }) => made_at === null).length;
    const told = jobs.filter(({ days }) => days >= 14).length;
    const young = jobs.length - unmade - told;
    return `Nothing is foreseen of ${told} of ${jobs.length} jobs` +
      (young > 0 ? `; of ${young} fewer than 14 days are known` : "") +
      (unmade > 0 ? `; of ${unmade} ${noForecast}` : "");
  }
  // What has no day is of now, and comes last.
  rows.sort((a, b) => (a.day || "9999").localeCompare(b.day || "9999"));
  return table(
    ["DAY (UTC)", "JOB", "WHAT"],
    rows.map(({ job, day, what }) => [day, job.job, oneLine(what)]),
  );
}

const dayOf = (finding: Finding) => finding.kind === "outgrows" ? finding.on : "";

/** The sentence without the job's name, which has its own column. */
function whatOf({ sentence }: Finding, { job }: Job): string {
  return sentence.startsWith(`${job} `) ? sentence.slice(job.length + 1) : sentence;
}

function renderJob(jobs: Job[]): string {
  return jobs.map((job) => {
    const parts = job.findings.length > 0 || job.error !== null ? [renderFindings([job])] : [
      job.made_at === null
        ? `${job.job}: ${noForecast}`
        : job.days < 14
        ? `${job.job}: what comes is said from 14 days on, ${job.days} are known`
        : `${job.job}: nothing is foreseen (by ${job.days} days)`,
    ];
    if (job.duration !== null) parts.push(durationLine(job.duration));
    if (job.cost !== null) {
      parts.push(
        `In 30 days: ${job.cost.invocations} calls, ${job.cost.wall_seconds} seconds of work`,
      );
    }
    const figures = Object.entries(job.figures);
    if (figures.length > 0) {
      parts.push(table(
        ["FIGURE", "A DAY NOW", "MORE EACH DAY", "IN 30 DAYS", "DAYS"],
        figures.map(([name, { level, a_day, least_a_day, most_a_day, in_30_days, days }]) => [
          name,
          String(level),
          a_day === null ? "no trend" : `${a_day} (${least_a_day} to ${most_a_day})`,
          String(in_30_days ?? ""),
          String(days),
        ]),
      ));
    }
    return parts.join("\n\n");
  }).join("\n\n");
}

function durationLine(
  { p95_ms, ms_a_day, least_ms_a_day, most_ms_a_day, days }: NonNullable<Job["duration"]>,
): string {
  const moves = ms_a_day === null
    ? "without a trend"
    : `and ${ms_a_day} ms more each day (${least_ms_a_day} to ${most_ms_a_day})`;
  return `One run in twenty takes ${formatDuration(p95_ms)} or longer, ${moves}, by ${days} days`;
}
