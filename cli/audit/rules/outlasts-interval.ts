import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { Answer } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { readTiming } from "../timing.ts";
import { isTimeout, tiedAnswers } from "../tied-answers.ts";
import { counted } from "../../../shared/text.ts";
import { formatDuration } from "../../format-table.ts";

interface Durations {
  ms: number[];
  from: string;
  /** Whether they took at least so long, and nobody knows how long. */
  atLeast?: boolean;
}

/** Entries whose runs take longer than the time to their next start. */
export function outlastsInterval(audited: Audited): Finding[] {
  const tied = tiedAnswers(audited);
  return audited.entries.flatMap((entry): Finding[] => {
    const gap = shortestGapMs(entry, audited);
    const known = durationsOf(entry, audited, tied.get(entry) ?? []);
    if (gap === undefined) return [];
    const longer = known.ms.filter((ms) => ms > gap);
    if (longer.length === 0) return [];
    const longest = longer.reduce((a, b) => Math.max(a, b));
    return [{
      rule: "outlasts-interval",
      severity: "warning",
      certainty: "proven",
      title: `${entry.name}: ${longer.length} of ${
        counted(known.ms.length, "run")
      } took longer than the ${formatDuration(gap)} to the next`,
      entries: [entry],
      evidence: [
        `the longest took ${known.atLeast ? "at least " : ""}${
          formatDuration(longest)
        }, by ${known.from}`,
      ],
      cost: entry.work.kind === "sql"
        ? "pg_cron does not start an entry that is still at work: starts come late or not at all"
        : "The next call begins while the one before is at work: two do the same",
      mend: "Start it less often, do less in a run, or take a lock so that two never overlap",
    }];
  });
}

function shortestGapMs(entry: Entry, { timetable }: Audited): number | undefined {
  const timing = readTiming(entry.schedule, entry.engine);
  if (timing.kind === "period") return timing.seconds * 1000;
  const starts = timetable.startsOf(entry).slice(0, 3000);
  const gaps = starts.slice(1).map((at, index) => at - starts[index]!);
  return gaps.length === 0 ? undefined : Math.min(...gaps) * 60_000;
}

/**
 * Of SQL pg_cron's own. Of a call its log's, else at least what was watched, or the timeout of an answer that did not
 * come: job_run_details times its queueing alone.
 */
function durationsOf(
  { work, jobId }: Entry,
  { facts }: Audited,
  answers: readonly Answer[],
): Durations {
  if (work.kind === "sql" && jobId !== undefined) {
    const ms = (facts.database?.runs ?? [])
      .filter((run) => run.jobId === jobId && run.startedAt !== null && run.endedAt !== null)
      .map(({ startedAt, endedAt }) => endedAt!.getTime() - startedAt!.getTime());
    return { ms, from: "cron.job_run_details" };
  }
  const logged = (facts.functionRuns ?? [])
    .filter(({ functionName }) => functionName === work.functionName)
    .flatMap(({ durationMs }) => durationMs ?? []);
  if (logged.length > 0) return { ms: logged, from: "the function's log" };
  const timeoutMs = work.timeoutMs ?? facts.database?.defaultTimeoutMs;
  const ms = answers.flatMap((answer) =>
    answer.tookMs ?? (isTimeout(answer) ? timeoutMs ?? [] : [])
  );
  return { ms, from: "--watch, or answers that did not come in time", atLeast: true };
}
