import type { Audited } from "../audited.ts";
import type { Answer } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { isTimeout, postingEntries, tiedAnswers } from "../tied-answers.ts";
import { counted } from "../../../shared/text.ts";

/** What became of the requests whose runs pg_cron calls succeeded. */
export function answers(audited: Audited): Finding[] {
  const { facts } = audited;
  const runs = facts.database?.runs;
  const findings = fromLog(audited);
  const posting = postingEntries(audited);
  if (runs === undefined || facts.database?.answers === undefined || posting.length === 0) {
    return findings;
  }
  const tied = tiedAnswers(audited);
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

function isError({ statusCode }: Answer): boolean {
  return statusCode === null || statusCode >= 400;
}

function nameOfError(answer: Answer): string {
  if (answer.statusCode !== null) return String(answer.statusCode);
  return isTimeout(answer) ? "no answer in time" : answer.error ?? "no answer";
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
