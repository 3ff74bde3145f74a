import type { Command } from "commander";
import { formatDuration } from "../format-table.ts";
import type { Health, HealthOfJob } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { nameOf } from "./options.ts";
import {
  momentHeading,
  moments,
  oneLine,
  type Paint,
  paintFor,
  paintState,
  table,
} from "./render.ts";
import { clockTime, span } from "./times.ts";
import { addNote, verb } from "./verb.ts";

export function addHealth(program: Command, io: Io): void {
  const command = program.command("health")
    .summary("which jobs are stalled")
    .description("Which jobs are stalled, as outside watchers ask.")
    .argument("[job]", "this one, with its durations and errors; a name or an alias")
    .action(verb(io, async ({ source, zone, show }, job) => {
      if (job === undefined) {
        const health = await source.read<Health>("health");
        show(health, (health) => renderHealth(health, zone, paintFor(io)));
        return health.stalled_services.length > 0 ? exitCodes.jobs : exitCodes.ok;
      }
      const health = await source.read<HealthOfJob>(
        `health/${encodeURIComponent(nameOf("job", job))}`,
      );
      show(health, (health) => renderHealthOfJob(health, zone, paintFor(io)));
      return health.status === "STALLED" ? exitCodes.jobs : exitCodes.ok;
    }));
  addNote(
    command,
    `A job is stalled when two occurrences in a row are due without a completed run. It ends with 1 when one is.`,
  );
}

function renderHealth({ services }: Health, zone: string, paint: Paint): string {
  if (services.length === 0) return "No job is enabled";
  const [heading] = momentHeading("LAST RUN", zone);
  return table(
    ["SERVICE", "STATUS", "STATE", heading, "AGE"],
    services.map(({ service, status, state, last_run, age_seconds }) => [
      service,
      paintState(paint, status),
      paintState(paint, state),
      moments(last_run, null, zone)[0],
      age_seconds === null ? "-" : span(age_seconds * 1000),
    ]),
  );
}

function renderHealthOfJob(health: HealthOfJob, zone: string, paint: Paint): string {
  const { durations, errors, heartbeats } = health;
  const ms = (value: number | null) => value === null ? "-" : formatDuration(value);
  const last = errors.last;
  return [
    `${health.service} is ${paintState(paint, health.status)} (${health.state}); ` +
    (health.last_run === null
      ? "it has not run yet"
      : `it ran last at ${clockTime(health.last_run, zone)} ${zone}`),
    `of its newest runs ${durations.runs} began: p50 ${ms(durations.p50_ms)}, p95 ${
      ms(durations.p95_ms)
    }, ` +
    `p99 ${ms(durations.p99_ms)}, longest ${ms(durations.longest_ms)}`,
    `failed ${errors.failed}, missed ${errors.missed}, lost ${errors.lost}; in a row ${errors.failed_in_row} failed, ` +
    `${errors.missed_in_row} missed`,
    last &&
    `last error at ${clockTime(last.at, zone)}: ${last.verdict}: ${oneLine(last.message ?? "")}`,
    ...heartbeats.map(({ run_id, age_seconds }) =>
      `run ${run_id} is at work; its heartbeat is ${span(age_seconds * 1000)} old`
    ),
  ].filter(Boolean).join("\n");
}
