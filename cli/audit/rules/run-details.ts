import type { Audited } from "../audited.ts";
import type { Finding } from "../finding.ts";
import { counted } from "../../../shared/text.ts";

/** `cron.job_run_details`, which nothing prunes unless an entry does. */
export function runDetailsGrow({ entries, facts: { database, now } }: Audited): Finding[] {
  const table = database?.runDetails;
  if (table === undefined || table.oldest === null || !database!.logsRuns) return [];
  const prunes = entries.some(({ active, command }) =>
    active &&
    /\b(delete\s+from|truncate(\s+table)?)\s+(only\s+)?cron\.job_run_details\b/i.test(command)
  );
  const days = Math.floor((now.getTime() - table.oldest.getTime()) / 86_400_000);
  if (prunes || days < 14) return [];
  const isOld = days >= 60;
  const perYear = table.bytes / Math.max(days, 1) * 365;
  return [{
    rule: "run-details-grow",
    severity: "warning",
    certainty: isOld ? "proven" : "likely",
    title: "cron.job_run_details grows for ever",
    entries: [],
    evidence: [
      `${megabytes(table.bytes)}, some ${counted(table.rows, "row")}, the oldest ${
        counted(days, "day")
      } old`,
      "no entry deletes from it; whether a function does shows in the age of its oldest row alone",
    ],
    cost: `About ${megabytes(perYear)} a year, which backups copy each day`,
    mend:
      "An entry a day: delete from cron.job_run_details where end_time < now() - interval '7 days'",
  }];
}

function megabytes(bytes: number): string {
  return bytes < 1_048_576
    ? `${Math.ceil(bytes / 1024)} kB`
    : `${(bytes / 1_048_576).toFixed(1)} MB`;
}
