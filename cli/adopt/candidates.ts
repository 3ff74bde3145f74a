/** Which entries a job can take the place of, and what that job would send. The others get a reason. */
import type { Entry } from "../audit/entry.ts";
import { secretsIn } from "../audit/secrets.ts";
import { everOccurs, readTiming } from "../audit/timing.ts";
import { labels } from "../audit/work.ts";
import { canonicalJson } from "./json.ts";
import { scheduleForDaybook } from "./schedule.ts";
import type { LeftAlone, ProposeOptions, Surroundings } from "./proposal.ts";
import { type Request, requestOf, Unadoptable } from "./request.ts";
import { type JobRequest, jobRequestOf, plainSecretsOf, type Project } from "./job-request.ts";

export interface Candidate {
  entry: Entry;
  request: JobRequest;
}

/** Whether the entry is Daybook's own: that of a job, or the pulse. */
export function isDaybooks({ name, command }: Entry): boolean {
  return /^select scheduler\.dispatch\('/.test(command) ||
    name === "scheduler-pulse" && /\bscheduler\.(beat|pulse)\(\)/.test(command);
}

/** Whether an argument of the command line means this entry: its name, or its id where that is no name. */
export function isMeant({ name, jobId }: Entry, chosen: string): boolean {
  return name === chosen || jobId === chosen;
}

export function candidatesOf(
  entries: readonly Entry[],
  surroundings: Surroundings,
  options: ProposeOptions,
  secrets: readonly string[],
): { candidates: Candidate[]; leftAlone: LeftAlone[] } {
  const leftAlone: LeftAlone[] = [];
  const candidates = entries.flatMap((entry): Candidate[] => {
    try {
      return [{ entry, request: candidateRequest(entry, surroundings, options, secrets) }];
    } catch (error) {
      if (!(error instanceof Unadoptable)) throw error;
      leftAlone.push({ entry, reason: error.message });
      return [];
    }
  });
  return { candidates, leftAlone };
}

/** @throws Unadoptable with the first reason against the entry. */
function candidateRequest(
  entry: Entry,
  { project, database, role, now }: Surroundings,
  { chosen }: ProposeOptions,
  secrets: readonly string[],
): JobRequest {
  if (isDaybooks(entry)) throw new Unadoptable("it is Daybook's own");
  if (entry.database !== database) {
    throw new Unadoptable(`it runs in the database ${entry.database}, and this is ${database}`);
  }
  if (entry.username !== role) {
    throw new Unadoptable(
      `it is an entry of the role ${entry.username}, and only that role can take it out: connect as it`,
    );
  }
  if (secretsIn(entry.name).length > 0) {
    throw new Unadoptable("its name holds a secret, and the migration would have it");
  }
  const timing = readTiming(scheduleForDaybook(entry.schedule), "daybook");
  if (timing.kind === "none") {
    throw new Unadoptable(`it runs ${entry.schedule}, and a job runs by the clock`);
  }
  if (
    timing.kind === "unreadable" || readTiming(entry.schedule, entry.engine).kind !== timing.kind
  ) {
    throw new Unadoptable(`its schedule ${entry.schedule} cannot be read`);
  }
  if (timing.kind === "fields" && !everOccurs(timing, now)) {
    throw new Unadoptable(`its schedule ${entry.schedule} never occurs`);
  }
  const request = requestOf(entry.command);
  for (const secret of plainSecretsOf(request)) {
    // The migration could not cut it out of what it compares.
    if ("text" in secret && !entry.command.includes(secret.text)) {
      throw new Unadoptable("it holds a secret that is written with escapes");
    }
  }
  const asked = jobRequestOf(request, project);
  const holds = (secret: string) => standsIn(secret, [entry.name, asked.target, asked.payload]);
  if (valuesOf(plainSecretsOf(request), project).some(holds)) {
    throw new Unadoptable("the secret of its headers also stands in its name, URL or body");
  }
  if (secrets.some(holds)) {
    throw new Unadoptable("a secret of another entry's headers stands in its name, URL or body");
  }
  if (!entry.active && !chosen.some((one) => isMeant(entry, one))) {
    throw new Unadoptable("it is switched off; name it, and it becomes a job that is switched off");
  }
  return asked;
}

/** The requests that the entries make, as far as they can be read. */
export function requestsOf(entries: readonly Entry[]): Request[] {
  return entries.flatMap(({ command }) => {
    try {
      return [requestOf(command)];
    } catch (error) {
      if (error instanceof Unadoptable) return [];
      throw error;
    }
  });
}

/** The secrets of all entries' headers. One of a few letters is left out: it may be a word of any text. */
export function headerSecretsOf(entries: readonly Entry[], project: Project): string[] {
  const isSecret = ({ name }: { name: string }) =>
    /auth|key|token|secret|password|signature/i.test(name);
  return requestsOf(entries)
    .flatMap((request) => plainSecretsOf({ ...request, headers: request.headers.filter(isSecret) }))
    .flatMap((secret) => valuesOf([secret], project))
    .filter(({ length }) => length >= 8);
}

function valuesOf(secrets: ReturnType<typeof plainSecretsOf>, { settings }: Project): string[] {
  return secrets.flatMap((from) => "text" in from ? from.text : settings.get(from.setting) ?? []);
}

/** Whether one of the texts has the secret as it is, as JSON has it, or as a URL has it. */
function standsIn(secret: string, texts: readonly string[]): boolean {
  const forms = [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret.toWellFormed()),
  ];
  return texts.some((text) => forms.some((form) => text.includes(form)));
}

/** Requests with the same key do the same work. */
export function keyOf(
  { target, payload, secretName, receipt }: JobRequest,
  ignoreLabels: boolean,
): string {
  return JSON.stringify([
    target,
    canonicalJson(payload, ignoreLabels ? labels : undefined),
    secretName,
    receipt,
  ]);
}
