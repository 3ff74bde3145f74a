import type { Audited } from "../audited.ts";
import type { Finding } from "../finding.ts";
import { isTimeout } from "../tied-answers.ts";
import { namesOf } from "../words.ts";
import { counted } from "../../../shared/text.ts";

const shortMs = 5_000;

/** Requests that wait 5 seconds or less for an answer, mostly because nobody said otherwise. */
export function shortTimeout({ entries, facts }: Audited): Finding[] {
  const unsaid = facts.database?.defaultTimeoutMs;
  const found = entries.flatMap((entry) => {
    if (!entry.active || entry.work.requests === undefined) return [];
    const ms = entry.work.timeoutMs ?? unsaid;
    return ms === undefined || ms > shortMs ? [] : [{ entry, ms }];
  });
  if (found.length === 0) return [];
  const late = (facts.database?.answers ?? []).filter(isTimeout).length;
  return [{
    rule: "short-timeout",
    severity: "warning",
    certainty: "proven",
    title: `${namesOf(found.map(({ entry }) => entry))}: pg_net waits ${
      counted(Math.max(...found.map(({ ms }) => ms)) / 1000, "second")
    } or less for the answer`,
    entries: found.map(({ entry }) => entry),
    evidence: [
      ...found.map(({ entry, ms }) =>
        `${entry.where}: ${ms} ms${entry.work.timeoutMs === undefined ? ", the default" : ""}`
      ),
      ...(late === 0 ? [] : [
        `${counted(late, "answer")} of the last hours did not come in time, whosever they were`,
      ]),
    ],
    cost: "What takes longer goes on, but its answer is lost, and nobody knows whether it failed",
    mend: "timeout_milliseconds := 150000, or let the function answer at once and work on",
  }];
}
