import type { Command } from "commander";
import type { Status } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { readPages } from "./pages.ts";
import {
  momentHeading,
  moments,
  oneLine,
  type Paint,
  paintFor,
  paintState,
  table,
} from "./render.ts";
import { span } from "./times.ts";
import { addNote, verb } from "./verb.ts";

type Job = Status["jobs"][number];

/** The states that somebody should look at; one that is paused is so on purpose. */
const troubled = ["failing", "overdue", "breaker_open", "late"] as const;
/** Where pg_cron has no seconds the pulse beats each minute. */
const longestPulseSeconds = 90;

export function addStatus(program: Command, io: Io): void {
  const command = program.command("status")
    .summary("every job: its state, last and next run")
    .description("Every job: its state, last and next run, and one sentence over all.")
    .action(verb(io, async ({ source, zone, show }) => {
      const status = await readPages<"jobs", Job, Omit<Status, "jobs" | "next_cursor">>(
        source,
        "status",
        {},
        "jobs",
      );
      show(status, (status) => renderStatus(status, zone, paintFor(io)));
      const trouble = troubled.some((state) => (status.counts[state] ?? 0) > 0);
      const age = status.pulse_age_seconds;
      return trouble || age === null || age > longestPulseSeconds ? exitCodes.jobs : exitCodes.ok;
    }));
  addNote(
    command,
    `It ends with 1 when a job is failing, overdue, late or stopped by its breaker, or when the pulse does not beat.`,
  );
}

function renderStatus(status: Status, zone: string, paint: Paint): string {
  const now = Date.parse(status.timestamp);
  const rows = status.jobs.map((job) => [
    job.job,
    paintState(paint, job.state),
    lastRun(job, now),
    ...moments(job.next_run_at, job.time_zone, zone),
    noteOf(job),
  ]);
  const heading = ["JOB", "STATE", "LAST RUN", ...momentHeading("NEXT RUN", zone), "NOTE"];
  return [oneLine(status.sentence), ...(rows.length > 0 ? ["", table(heading, rows)] : [])].join(
    "\n",
  );
}

function lastRun({ last_run: run }: Job, now: number): string {
  if (run === null) return "none";
  const at = run.completed_at ?? run.started_at ?? run.created_at;
  return `${run.status}, ${span(now - Date.parse(at))} ago`;
}

function noteOf(job: Job): string {
  const broken = job.unsuccessful_occurrences;
  return oneLine(
    [
      job.stopped_by,
      job.waits_for && `waits for ${job.waits_for}`,
      broken > 0 && `${broken} without success`,
      job.breaker !== null && job.breaker.state !== "closed" && `breaker ${job.breaker.state}`,
      job.parallel?.least != null &&
      `${job.parallel.in_force} at once, of ${job.parallel.least} to ${job.parallel.most}`,
      job.stretch?.asked_again_at && `found nothing ${job.stretch.idle_in_row} times in a row`,
      job.lock && `held by run ${job.lock.run_id}`,
    ].filter(Boolean).join("; "),
  );
}
