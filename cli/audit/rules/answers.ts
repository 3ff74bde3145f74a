import type { Audited } from "../audited.ts";
import type { Entry } from "../entry.ts";
import type { Answer, Run } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { functionIn } from "../work.ts";
import { counted } from "../../../shared/text.ts";

/** pg_net looks for new requests once a second; what waits longer than this is not taken for an entry's. */
const windowMs = 2_000;

/**
 * What became of the requests whose runs pg_cron calls succeeded. An answer names no job: it is an entry's only where
 * that entry alone fired in that second, made one request, and one answer came.
 */
export function answers(audited: Audited): Finding[] {
  const { entries, facts } = audited;
  const runs = facts.database?.runs;
  const kept = facts.database?.answers;
  const findings = fromLog(audited);
  const posting = entries.filter(({ active, work, jobId }) =>
    active && work.kind === "http" && jobId !== undefined
  );
  if (runs === undefined || kept === undefined || posting.length === 0) return findings;
  const tied = tieAnswers(posting, runs, kept, entries);
  let untied = 0;
  let all = 0;
  for (const entry of posting) {
    const own = runs.filter(({ jobId, status }) => jobId === entry.jobId && status === "succeeded");
    const mine = tied.get(entry) ?? [];
    all += own.length;
    untied += Math.max(0, own.length - mine.length);
    const errors = mine.filter(isError);
    if (errors.length === 0) continue;
    findings.push({
      rule: "failed-answers",
      severity: "error",
      certainty: errors.length >= 3 ? "proven" : "likely",
      title: `${entry.name}: "succeeded", but ${errors.length} of ${
        counted(mine.length, "answer")
      } that are surely its own were errors`,
      entries: [entry],
      evidence: [
        counts(errors.map(nameOfError)),
        `${entry.where} fired alone in those seconds; the last at ${
          errors[0]!.createdAt.toISOString()
        }`,
      ],
      cost: "pg_cron calls a run succeeded when its request is queued: the work was not done",
      mend: "Mend what the status says: 401 a wrong key, 404 a wrong name, 5xx the function's log",
    });
  }
  if (untied > 0) {
    findings.push({
      rule: "unknown-answers",
      severity: "note",
      certainty: "not knowable here",
      title: `What became of ${untied} of ${counted(all, "run")} that pg_cron calls succeeded`,
      entries: posting,
      evidence: [
        "net._http_response names no job and keeps an answer for 6 hours; an answer is tied to an entry only where one entry fired in that second",
      ],
      cost: "A run that was not answered, or by an error, looks as one that did its work",
      mend:
        "--watch <hours> ties answers by their URL; --function-log <file> reads the functions' own log",
    });
  }
  return findings;
}

function tieAnswers(
  posting: Entry[],
  runs: readonly Run[],
  kept: readonly Answer[],
  entries: readonly Entry[],
): Map<Entry, Answer[]> {
  const tied = new Map<Entry, Answer[]>();
  const add = (entry: Entry, answer: Answer) => tied.set(entry, [...tied.get(entry) ?? [], answer]);
  const started = runs.filter((run) => run.startedAt !== null)
    .map((run) => ({ jobId: run.jobId, at: run.startedAt!.getTime(), status: run.status }))
    .sort((a, b) => a.at - b.at);
  const sorted = [...kept].sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
  for (const [index, answer] of sorted.entries()) {
    if (answer.url !== undefined) {
      const targets = entries.filter(({ work }) =>
        work.functionName !== undefined && work.functionName === functionIn(answer.url!)
      );
      if (targets.length === 1) add(targets[0]!, answer);
      continue;
    }
    const at = answer.createdAt.getTime();
    const candidates = started.filter((run) => run.at > at - windowMs && run.at <= at + 100);
    const [run] = candidates;
    if (candidates.length !== 1) continue;
    const near = [sorted[index - 1], sorted[index + 1]].some((other) =>
      other !== undefined && other.createdAt.getTime() >= run!.at &&
      other.createdAt.getTime() < run!.at + windowMs
    );
    const entry = posting.find(({ jobId }) => jobId === run!.jobId);
    if (entry?.work.requests === 1 && run!.status === "succeeded" && !near) add(entry, answer);
  }
  return tied;
}

function isError({ statusCode }: Answer): boolean {
  return statusCode === null || statusCode >= 400;
}

function nameOfError({ statusCode, timedOut, error }: Answer): string {
  if (statusCode !== null) return String(statusCode);
  return timedOut || error?.startsWith("Timeout") ? "no answer in time" : error ?? "no answer";
}

/** `12 × 401, 1 × 503`. */
function counts(names: string[]): string {
  const found = new Map<string, number>();
  for (const name of names) found.set(name, (found.get(name) ?? 0) + 1);
  return [...found].sort(([, a], [, b]) => b - a).map(([name, n]) => `${n} × ${name}`).join(", ");
}

/** The functions' own log names the function, and so all entries that call it. */
function fromLog({ entries, facts }: Audited): Finding[] {
  const functions = new Set(entries.flatMap(({ work }) => work.functionName ?? []));
  return [...functions].flatMap((name): Finding[] => {
    const calls = (facts.functionRuns ?? []).filter(({ functionName, statusCode }) =>
      functionName === name && statusCode !== undefined
    );
    const errors = calls.filter(({ statusCode }) => statusCode! >= 400);
    if (errors.length === 0) return [];
    const callers = entries.filter(({ work }) => work.functionName === name);
    return [{
      rule: "failed-answers",
      severity: "error",
      certainty: callers.length === 1 ? "proven" : "likely",
      title: `function ${name}: ${errors.length} of ${
        counted(calls.length, "call")
      } in its log failed`,
      entries: callers,
      evidence: [counts(errors.map(({ statusCode }) => String(statusCode)))],
      cost: "pg_cron calls a run succeeded when its request is queued: the work was not done",
      mend: "Mend what the status says: 401 a wrong key, 404 a wrong name, 5xx the function's log",
    }];
  });
}
