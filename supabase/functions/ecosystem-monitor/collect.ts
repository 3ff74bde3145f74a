import { z } from "zod";
import type { JobContext } from "../../../shared/job/define-job.ts";
import { storableJson } from "../../../shared/job/storable-json.ts";
import type { Day } from "./day.ts";
import type { Github } from "./github.ts";
import { readRepository, type RepositoryReading } from "./repository.ts";

const toRead = z.object({
  enabled: z.number(),
  repositories: z.array(z.object({ id: z.number(), full_name: z.string() })),
});
const storedResponses = z.record(
  z.string(),
  z.object({
    etag: z.string(),
    found: z.record(z.string(), z.json()),
    next_url: z.string().nullable(),
  }),
);

/** The outcomes of a run's repositories, by name. Each repository is in one list. */
export interface Collected {
  read: string[];
  /** Repositories of which some figures are missing. */
  partial: string[];
  gone: string[];
  unreadable: string[];
  /** Repositories that were not read because of `stopped`; the next run reads them first. */
  leftOut: string[];
  /** Why the run sent no further requests to GitHub; null when it read everything. */
  stopped: string | null;
  /** One sentence for each repository with missing figures. */
  problems: string[];
}

/** Reads the day of each repository in turn, the longest unread first, and records each at once. */
export async function collect(
  context: Pick<JobContext, "db" | "signal" | "reportProgress">,
  github: Github,
  day: Day,
): Promise<Collected> {
  const { db, signal } = context;
  const { data, error } = await db.rpc("ecosystem_repositories_to_read", {}).abortSignal(signal);
  if (error) throw error;
  const { enabled, repositories } = toRead.parse(data);
  const collected: Collected = {
    read: [],
    partial: [],
    gone: [],
    unreadable: [],
    leftOut: [],
    stopped: null,
    problems: [],
  };
  for (const [index, { id, full_name: name }] of repositories.entries()) {
    signal.throwIfAborted();
    if (github.stopped() !== null) {
      collected.leftOut.push(name);
      continue;
    }
    const stored = await db.rpc("ecosystem_responses_of", { p_repository_id: id }).abortSignal(
      signal,
    );
    if (stored.error) throw stored.error;
    const reading = await readRepository(github, name, day, storedResponses.parse(stored.data));
    if (reading.outcome === "stopped") {
      collected.leftOut.push(name);
      continue;
    }
    collected[reading.outcome].push(name);
    if (reading.problem !== null) collected.problems.push(`${name}: ${reading.problem}`);
    await keep(context, id, day, reading);
    context.reportProgress({ repositories: index + 1, of: repositories.length });
  }
  collected.stopped = github.stopped();
  if (enabled > repositories.length) {
    collected.problems.push(
      `${enabled - repositories.length} repositories more are enabled than a run reads`,
    );
  }
  return collected;
}

async function keep(
  { db, signal }: Pick<JobContext, "db" | "signal">,
  id: number,
  day: Day,
  reading: RepositoryReading,
): Promise<void> {
  const { responses, githubName, ...rest } = reading;
  const { error } = await db.rpc("ecosystem_record_activity", {
    p_repository_id: id,
    p_day: day.name,
    // GitHub's text may contain characters that Postgres cannot store.
    p_reading: storableJson({ ...rest, github_name: githubName }),
    p_responses: storableJson(responses),
  }).abortSignal(signal);
  if (error) throw error;
}
