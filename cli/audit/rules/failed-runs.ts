import type { Audited } from "../audited.ts";
import type { Finding } from "../finding.ts";
import { counted } from "../../../shared/text.ts";

/** Runs that pg_cron itself calls failed: an error while the newest run has it, a warning when it is over. */
export function failedRuns({ entries, facts }: Audited): Finding[] {
  const runs = facts.database?.runs ?? [];
  return entries.flatMap((entry): Finding[] => {
    const own = runs.filter(({ jobId, endedAt }) => jobId === entry.jobId && endedAt !== null);
    const failed = own.filter(({ status }) => status === "failed");
    if (failed.length === 0 || !entry.active) return [];
    const messages = new Map<string, number>();
    for (const { message } of failed) {
      const line = message.split("\n")[0]!;
      messages.set(line, (messages.get(line) ?? 0) + 1);
    }
    const isOver = own[0]!.status !== "failed";
    return [{
      rule: "failed-runs",
      severity: isOver ? "warning" : "error",
      certainty: "proven",
      title: `${entry.name}: ${failed.length} of ${counted(own.length, "run")} failed${
        isOver ? "" : ", the newest too"
      }`,
      entries: [entry],
      evidence: [...messages].sort(([, a], [, b]) => b - a).slice(0, 3)
        .map(([message, count]) => `${count} × ${message}`),
      cost: "pg_cron tries none of them again",
      mend: isOver
        ? "Look whether the work of those runs was made up for"
        : "Mend what the message says",
    }];
  });
}
