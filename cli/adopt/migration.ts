/** The SQL of an adoption, and the SQL that undoes it. */
import { quoteLiteral } from "../../local/bootstrap.ts";
import { hashOf } from "../../local/hash.ts";
import { wrap } from "../../shared/text.ts";
import type { Entry } from "../audit/entry.ts";
import { secretsIn } from "../audit/secrets.ts";
import { listed } from "../audit/words.ts";
import { oneLine } from "../daybook/render.ts";
import type { Proposal, RegisteredJob } from "./proposal.ts";

/** Why and by whom, for the audit log; optional in a migration. */
export interface Cause {
  reason?: string;
  author?: string;
}

/** Masks what is secret in a text. */
type Mask = (text: string) => string;

/**
 * One statement, so that it is one transaction however it is run. It holds no command: those are compared by a hash, and
 * kept by the database.
 *
 * @param plainSecrets Secrets of commands that do not look like secrets.
 */
export function adoptionSql(
  jobs: readonly Proposal[],
  cause: Cause,
  mask: Mask,
  plainSecrets: readonly string[] = [],
): string {
  const entries = jobs.flatMap((job) =>
    job.entries.map((entry) => `    ${JSON.stringify(listedEntry(job, entry, plainSecrets))}`)
  );
  const names = jobs.map(({ name }) => name);
  const body = [
    "begin",
    "  if to_regprocedure('scheduler.adopt_entries(jsonb, boolean, text, text)') is null then",
    "    raise exception 'cannot adopt the entries: there is no Daybook here, or an older one'",
    "      using hint = 'deno task install, or deno task upgrade, writes the migrations that have to come before this one';",
    "  end if;",
    "  -- False: adopted already. An error where an entry is not as it was read.",
    `  if not scheduler.adopt_entries(${quoteText(`[\n${entries.join(",\n")}\n  ]`)}${
      causeArguments(cause)
    }) then`,
    "    return;",
    "  end if;",
    ...jobs.filter(({ registered }) => registered === undefined).map(registration),
    "  perform scheduler.end_adoption();",
    "end;",
  ].join("\n");
  const tag = tagFor(body);
  return [
    "-- Jobs take the place of entries of pg_cron, in one transaction. Written by: deno task daybook adopt",
    `-- Undone by: select scheduler.undo_adoption(${nameArray(names)});`,
    ...jobs.flatMap((job) => ["--", ...comment(job, mask)]),
    `do ${tag}`,
    body,
    `${tag};`,
    "",
  ].join("\n");
}

/** Puts back the entries that these jobs took the place of. */
export function undoSql(jobs: readonly string[], cause: Cause): string {
  return [
    "-- Puts back entries of pg_cron as they were, and takes out the jobs that were registered for them.",
    "-- Written by: deno task daybook adopt --undo",
    `select scheduler.undo_adoption(${nameArray(jobs)}${causeArguments(cause)});`,
    "",
  ].join("\n");
}

/** Deletes what is kept of the entries that these jobs took the place of. */
export function forgetSql(jobs: readonly string[], cause: Cause): string {
  return `select scheduler.forget_adopted_entries(${nameArray(jobs)}${causeArguments(cause)});\n`;
}

const nameArray = (names: readonly string[]) => `array[${names.map(quoteText).join(", ")}]::text[]`;

const causeArguments = ({ reason, author }: Cause) =>
  (reason === undefined ? "" : `, p_reason => ${quoteText(reason)}`) +
  (author === undefined ? "" : `, p_author => ${quoteText(author)}`);

/** A literal that is right with either value of `standard_conforming_strings`. */
function quoteText(text: string): string {
  const quoted = quoteLiteral(text);
  return text.includes("\\") ? `E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}

/** A tag for dollar quotes that is not in the text. */
function tagFor(text: string): string {
  for (let number = 1;; number++) {
    const tag = `$adopt${number === 1 ? "" : number}$`;
    if (!text.includes(tag)) return tag;
  }
}

/** An entry as `adopt_entries` takes it. */
function listedEntry(
  { name, registered }: Proposal,
  entry: Entry,
  plainSecrets: readonly string[],
) {
  const { command } = entry;
  const without = partsOf(command, [...secretsIn(command), ...plainSecrets]);
  return {
    name: entry.isUnnamed ? null : entry.name,
    schedule: entry.schedule,
    username: entry.username,
    active: entry.active,
    command_sha256: hashWithout(command, without),
    without,
    job: name,
    ...(registered === undefined ? {} : { job_is: valuesOf(registered) }),
  };
}

/** What must still be so of a job that stays: values of its row, as text. */
function valuesOf(
  { schedule, timeZone, target, secretName, payload, runIf, stretchAfter }: RegisteredJob,
) {
  return {
    schedule,
    time_zone: timeZone,
    target,
    payload,
    secret_name: secretName,
    run_if: runIf,
    stretch_after: stretchAfter,
    calendars: "[]",
    paused_at: null,
    group_paused_at: null,
  };
}

/**
 * Where the secrets stand in a command, in characters as Postgres counts them: a short one could be guessed from the hash
 * of all of it, which a repository keeps.
 */
function partsOf(command: string, secrets: readonly string[]): [from: number, length: number][] {
  const lengthOf = (text: string) => [...text].length;
  const hidden = new Set<number>();
  for (const secret of new Set(secrets)) {
    for (let at = command.indexOf(secret); at >= 0; at = command.indexOf(secret, at + 1)) {
      const from = lengthOf(command.slice(0, at)) + 1;
      for (let place = from; place < from + lengthOf(secret); place++) hidden.add(place);
    }
  }
  const parts: [number, number][] = [];
  for (const place of [...hidden].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last !== undefined && last[0] + last[1] === place) last[1]++;
    else parts.push([place, 1]);
  }
  return parts;
}

function hashWithout(command: string, without: readonly [from: number, length: number][]): string {
  const letters = [...command];
  for (const [from, length] of without) letters.fill("", from - 1, from - 1 + length);
  return hashOf(letters.join(""));
}

function registration(job: Proposal): string {
  const { request, maxAttempts } = job;
  const values: [string, string | undefined][] = [
    ["name", quoteText(job.name)],
    ["schedule", quoteText(job.schedule)],
    ["time_zone", quoteText(job.timeZone)],
    ["target", quoteText(request.target)],
    ["description", quoteText(describe(job))],
    ["payload", request.payload === "{}" ? undefined : quoteText(request.payload)],
    ["timeout_seconds", request.timeoutSeconds?.toString()],
    ["max_attempts", maxAttempts?.toString()],
    ["receipt", request.receipt === "response" ? quoteText("response") : undefined],
    ["secret_name", request.secretName === undefined ? undefined : quoteText(request.secretName)],
    ["enabled", job.enabled ? undefined : "false"],
  ];
  const given = values.filter(([, value]) => value !== undefined)
    .map(([name, value]) => `    ${name} => ${value}`);
  return `  perform scheduler.register_job(\n${given.join(",\n")}\n  );`;
}

function describe({ entries }: Proposal): string {
  const names = entries.map(({ name }) => oneLine(name));
  const text = `In the place of pg_cron's ${listed(names)}`;
  return text.length <= 200 ? text : `In the place of ${names.length} entries of pg_cron`;
}

/** The comment on a job: one line a comment, though names may have line ends. */
function comment(job: Proposal, mask: Mask): string[] {
  const head = `${job.name} (${job.schedule} ${job.timeZone}${
    job.registered ? ", which is registered" : ""
  }), in the place of ${listed(job.entries.map(({ name, schedule }) => `${name} (${schedule})`))}:`;
  return [head, ...job.reasons.map((reason) => `- ${reason}`)].flatMap((line) =>
    wrap(oneLine(mask(line)), 116, 2).map((part) => `-- ${part}`)
  );
}
