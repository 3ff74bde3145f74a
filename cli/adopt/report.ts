/** What an adoption would do, as text and as JSON. */
import { counted } from "../../shared/text.ts";
import { hang } from "../audit/report.ts";
import { listed } from "../audit/words.ts";
import { oneLine, type Paint } from "../daybook/render.ts";
import { exactJson } from "./json.ts";
import type { LeftAlone, Proposal, Proposals } from "./proposal.ts";
import type { AdoptedEntry } from "./read.ts";

export function report(
  { jobs, leftAlone, ownEntries }: Proposals,
  what: string,
  paint: Paint,
): string {
  const entries = jobs.flatMap(({ entries }) => entries).length;
  const head = jobs.length === 0
    ? `Nothing to adopt in ${what}`
    : `${counted(jobs.length, "job")} in the place of ${
      counted(entries, "entry", "entries")
    } of ${what}`;
  const own = ownEntries === 0
    ? []
    : [`${counted(ownEntries, "entry is", "entries are")} Daybook's own.`];
  return [
    [head, ...own].join("\n"),
    ...jobs.map((job) => describeJob(job, paint)),
    ...(leftAlone.length === 0 ? [] : [
      ["Left alone", ...leftAlone.map(describeLeft)].join("\n"),
    ]),
  ].join("\n\n");
}

function describeJob(job: Proposal, paint: Paint): string {
  const { request, entries, reasons } = job;
  const times = `${job.schedule} ${job.timeZone}`;
  const values = [
    request.target,
    ...(request.payload === "{}" ? [] : [`payload ${request.payload}`]),
    ...(request.receipt === "response" ? ["its answer is the receipt"] : []),
    ...(request.secretName ? [`secret ${request.secretName} of Vault`] : []),
    ...(request.timeoutSeconds === undefined ? [] : [`${request.timeoutSeconds} s`]),
    ...(job.maxAttempts === undefined ? [] : [counted(job.maxAttempts, "attempt")]),
    ...(job.enabled ? [] : ["switched off"]),
  ];
  return [
    `${paint("green", oneLine(job.name))}  ${times}${
      job.registered ? "  (registered, and stays as it is)" : ""
    }`,
    hang("  calls ", values.join(", ")),
    ...entries.map(({ name, schedule }, index) =>
      hang(index === 0 ? "  for   " : "        ", `${name} (${schedule})`)
    ),
    ...reasons.map((reason, index) => hang(index === 0 ? "  why   " : "        ", reason)),
  ].join("\n");
}

function describeLeft({ entry, reason }: LeftAlone): string {
  const place = entry.isUnnamed ? "" : ` (${entry.where})`;
  return hang("- ", `${entry.isUnnamed ? entry.where : entry.name}${place}: ${reason}`);
}

/** Jobs, and the entries in whose place they are. */
export function reportAdopted(adopted: readonly AdoptedEntry[]): string {
  const byJob = Map.groupBy(adopted, ({ jobName }) => jobName);
  return [...byJob].map(([job, entries]) =>
    hang(
      "- ",
      `${job}${
        entries.some(({ registered }) => registered) ? "" : " (it was there before)"
      }, since ${entries[0]!.adoptedAt.toISOString().slice(0, 10)}: ${
        listed(entries.map(({ name, schedule }) => `${name ?? "one without a name"} (${schedule})`))
      }`,
    )
  ).join("\n");
}

export function jsonOf(
  { jobs, leftAlone, ownEntries }: Proposals,
  adopted: readonly AdoptedEntry[],
  unknown: readonly string[],
  sql: string | undefined,
) {
  return {
    jobs: jobs.map(({ request, entries, schedule, timeZone, maxAttempts, registered, ...job }) => ({
      name: job.name,
      schedule,
      time_zone: timeZone,
      target: request.target,
      payload: exactJson(request.payload),
      receipt: request.receipt,
      ...(request.secretName === undefined ? {} : { secret_name: request.secretName }),
      ...(request.timeoutSeconds === undefined ? {} : { timeout_seconds: request.timeoutSeconds }),
      ...(maxAttempts === undefined ? {} : { max_attempts: maxAttempts }),
      enabled: job.enabled,
      is_registered: registered !== undefined,
      entries: entries.map(({ name, schedule, where }) => ({ name, schedule, where })),
      reasons: job.reasons,
    })),
    left_alone: leftAlone.map(({ entry: { name, schedule, where }, reason }) => ({
      name,
      schedule,
      where,
      reason,
    })),
    daybooks_own: ownEntries,
    adopted: adopted.map(({ jobName, name, schedule, adoptedAt }) => ({
      job: jobName,
      name,
      schedule,
      adopted_at: adoptedAt,
    })),
    unknown,
    ...(sql === undefined ? {} : { sql }),
  };
}
