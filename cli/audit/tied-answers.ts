/** Whose an answer of pg_net is. It names no job. */
import type { Audited } from "./audited.ts";
import type { Entry } from "./entry.ts";
import type { Answer } from "./facts.ts";
import { functionIn } from "./work.ts";

/** pg_net looks for new requests once a second; what waits longer than this is not taken for an entry's. */
const windowMs = 2_000;

/** Entries of pg_cron that hand requests to pg_net. */
export function postingEntries({ entries }: Pick<Audited, "entries">): Entry[] {
  return entries.filter(({ active, work, jobId }) =>
    active && work.kind === "http" && jobId !== undefined
  );
}

/**
 * The answers that are surely an entry's own: where that entry alone fired in that second, made one request, and one
 * answer came; or where it was watched and one entry alone calls that function.
 */
export function tiedAnswers(
  { entries, facts: { database } }: Pick<Audited, "entries" | "facts">,
): Map<Entry, Answer[]> {
  const tied = new Map<Entry, Answer[]>();
  const add = (entry: Entry | undefined, answer: Answer) => {
    if (entry !== undefined) tied.set(entry, [...tied.get(entry) ?? [], answer]);
  };
  const posting = postingEntries({ entries });
  const runs = (database?.runs ?? []).flatMap(({ jobId, startedAt, status }) =>
    startedAt === null ? [] : [{ jobId, status, at: startedAt.getTime() }]
  ).sort((a, b) => a.at - b.at);
  const answers = (database?.answers ?? [])
    .map((answer) => ({ answer, at: answer.createdAt.getTime() })).sort((a, b) => a.at - b.at);
  let first = 0;
  for (const [index, { answer, at }] of answers.entries()) {
    if (answer.url !== undefined) {
      add(onlyCaller(posting, functionIn(answer.url)), answer);
      continue;
    }
    while (first < runs.length && runs[first]!.at <= at - windowMs) first++;
    const [run, other] = [runs[first], runs[first + 1]];
    // A run that starts a little after its answer's batch began: the clocks of two processes.
    const isBefore = (one: typeof run) => one !== undefined && one.at <= at + 100;
    if (!isBefore(run) || isBefore(other) || run!.status !== "succeeded") continue;
    const isAlone = [answers[index - 1], answers[index + 1]].every((near) =>
      near === undefined || near.at < run!.at || near.at >= run!.at + windowMs
    );
    if (!isAlone) continue;
    add(posting.find(({ jobId, work }) => jobId === run!.jobId && work.requests === 1), answer);
  }
  return tied;
}

function onlyCaller(posting: Entry[], functionName: string | undefined): Entry | undefined {
  const callers = posting.filter(({ work }) => work.functionName === functionName);
  return functionName !== undefined && callers.length === 1 ? callers[0] : undefined;
}

/** Whether no answer came in time. */
export function isTimeout({ statusCode, timedOut, error }: Answer): boolean {
  return statusCode === null && (timedOut || (error?.startsWith("Timeout") ?? false));
}
