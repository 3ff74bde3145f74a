/** Entries of pg_cron in, the jobs that would take their place out. */
import { audit } from "../audit/audit.ts";
import type { Entry } from "../audit/entry.ts";
import type { Facts, Works } from "../audit/facts.ts";
import { secretsIn } from "../audit/secrets.ts";
import { isWithin, shareAny, Timetable } from "../audit/timetable.ts";
import { everOccurs, readTiming } from "../audit/timing.ts";
import { namesOf } from "../audit/words.ts";
import { labels } from "../audit/work.ts";
import { canonicalJson } from "./json.ts";
import { merge, type Merged, type MergeOptions, scheduleForDaybook } from "./merge.ts";
import { takeName } from "./names.ts";
import { type Request, requestOf, Unadoptable } from "./request.ts";
import {
  defaultTimeoutSeconds,
  plainSecretsOf,
  type Project,
  type Target,
  targetOf,
} from "./target.ts";

/** A job of the registry, as far as it may do what an entry does. */
export interface RegisteredJob {
  name: string;
  alias: string | null;
  target: string;
  schedule: string | null;
  timeZone: string;
  payload: string;
  enabled: boolean;
}

/** What there is besides the entries. */
export interface Surroundings {
  now: Date;
  project: Project;
  jobs: readonly RegisteredJob[];
  database: string;
  /** The role that reads: only its own entries can be taken out and put back. */
  role: string;
}

export interface ProposeOptions extends MergeOptions {
  works: readonly Works[];
  /** The entries that are meant, by their names or ids; empty: all that run. */
  chosen: readonly string[];
  /** Payloads that differ in labels alone are the same. */
  ignoreLabels: boolean;
}

/** A job in the place of entries. */
export interface Proposal {
  name: string;
  schedule: string;
  timeZone: string;
  target: Target;
  /** Undefined: that of `register_job`. */
  maxAttempts?: number;
  enabled: boolean;
  entries: Entry[];
  reasons: string[];
  /** The job is registered already, and stays as it is. */
  isThere: boolean;
}

export interface LeftAlone {
  entry: Entry;
  /** The end of a sentence that begins with the entry. */
  reason: string;
}

export interface Proposals {
  jobs: Proposal[];
  leftAlone: LeftAlone[];
  /** How many entries Daybook made for jobs of its own. */
  ownEntries: number;
}

type MergedJob = Merged & { target: Target };

interface Candidate {
  entry: Entry;
  target: Target;
}

/** Whether an entry is one that Daybook keeps for a job of its own, or its pulse. */
export function isDaybooks({ name, command }: Entry): boolean {
  return /^select scheduler\.dispatch\('/.test(command) ||
    name === "scheduler-pulse" && /\bscheduler\.(beat|pulse)\(\)/.test(command);
}

/** Whether an argument of the command line means this entry: its name, or its id where that is no name. */
export function isMeant({ name, jobId }: Entry, chosen: string): boolean {
  return name === chosen || jobId === chosen;
}

/** `loadSqlParser` must have run. */
export function propose(
  entries: readonly Entry[],
  surroundings: Surroundings,
  options: ProposeOptions,
): Proposals {
  const foreign = entries.filter((entry) => !isDaybooks(entry));
  const meant = options.chosen.length === 0
    ? foreign
    : entries.filter((entry) => options.chosen.some((one) => isMeant(entry, one)));
  const { candidates, leftAlone } = candidatesOf(meant, surroundings, options);
  const timetable = new Timetable(surroundings.now);
  const decided = mergeCandidates(candidates, timetable, options).map((one) => {
    const there = jobOfSameWork(one.target, surroundings.jobs, options);
    return { one, there, isAdopted: there === undefined || covers(there, one, timetable) };
  });
  for (const { one, there, isAdopted } of decided) {
    if (isAdopted) continue;
    const reason =
      `the job ${there!.name} (${there!.schedule} ${there!.timeZone}) starts the same work, ` +
      `and not always when ${one.schedule} ${one.timeZone} does: change its times, give the hours with --works, ` +
      `or take it out with scheduler.unregister_job`;
    leftAlone.push(...one.entries.map((entry) => ({ entry, reason })));
  }
  const left = new Set(leftAlone.map(({ entry }) => entry));
  const staying = foreign.filter((entry) => !meant.includes(entry) || left.has(entry));
  const taken = new Set([
    "scheduler-pulse",
    ...surroundings.jobs.flatMap(({ name, alias }) => alias === null ? [name] : [name, alias]),
    ...staying.filter(({ username }) => username === surroundings.role).map(({ name }) => name),
  ]);
  const jobs = decided.filter(({ isAdopted }) => isAdopted).map(({ one, there }) =>
    there === undefined ? newJob(one, surroundings.now, options, taken) : standIn(there, one)
  );
  const unnamed = candidatesOf(
    foreign.filter((entry) => !meant.includes(entry)),
    surroundings,
    options,
  ).candidates;
  for (const job of jobs) {
    job.reasons.push(
      ...notesBetween(job, jobs, timetable, options),
      ...notesOnStaying(job, unnamed, options),
    );
  }
  return { jobs, leftAlone, ownEntries: entries.length - foreign.length };
}

function candidatesOf(
  entries: readonly Entry[],
  surroundings: Surroundings,
  options: ProposeOptions,
): { candidates: Candidate[]; leftAlone: LeftAlone[] } {
  const leftAlone: LeftAlone[] = [];
  const candidates = entries.flatMap((entry): Candidate[] => {
    try {
      return [{ entry, target: candidateTarget(entry, surroundings, options) }];
    } catch (error) {
      if (!(error instanceof Unadoptable)) throw error;
      leftAlone.push({ entry, reason: error.message });
      return [];
    }
  });
  return { candidates, leftAlone };
}

/** @throws Unadoptable with the first reason against the entry. */
function candidateTarget(
  entry: Entry,
  { project, database, role, now }: Surroundings,
  { chosen }: ProposeOptions,
): Target {
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
    // Else it could not be left out of what the migration compares.
    if ("text" in secret && !entry.command.includes(secret.text)) {
      throw new Unadoptable("it holds a secret that is written with escapes");
    }
  }
  const target = targetOf(request, project);
  if (!entry.active && !chosen.some((one) => isMeant(entry, one))) {
    throw new Unadoptable("it is switched off; name it, and it becomes a job that is switched off");
  }
  return target;
}

/** The requests that the entries make, as far as they can be read: what has to be looked up for them. */
export function requestsOf(entries: readonly Entry[]): { entry: Entry; request: Request }[] {
  return entries.flatMap((entry) => {
    try {
      return [{ entry, request: requestOf(entry.command) }];
    } catch (error) {
      if (error instanceof Unadoptable) return [];
      throw error;
    }
  });
}

/** Two that have the same key do the same. */
function keyOf({ target, payload, secretName, receipt }: Target, ignoreLabels: boolean): string {
  return JSON.stringify([
    target,
    canonicalJson(payload, ignoreLabels ? labels : undefined),
    secretName,
    receipt,
  ]);
}

function mergeCandidates(
  candidates: readonly Candidate[],
  timetable: Timetable,
  options: ProposeOptions,
): MergedJob[] {
  const targetOf = new Map(candidates.map(({ entry, target }) => [entry, target]));
  const active = candidates.filter(({ entry }) => entry.active);
  const groups = [
    ...Map.groupBy(active, ({ target }) => keyOf(target, options.ignoreLabels)).values(),
  ];
  const off = candidates.filter(({ entry }) => !entry.active).map(({ entry, target }) => ({
    entries: [entry],
    kept: entry,
    schedule: scheduleForDaybook(entry.schedule),
    timeZone: entry.zone,
    reasons: ["It is switched off, and so is the job"],
    isRarer: false,
    target,
  }));
  return [
    ...groups.flatMap((group) => {
      // What is the same but for labels is told apart by them where pairs are looked for.
      const work = { ...group[0]!.entry.work };
      const alike = new Map(group.map(({ entry }) => [{ ...entry, work }, entry]));
      return merge([...alike.keys()], timetable, options).map((one) => {
        const entries = one.entries.map((entry) => alike.get(entry)!);
        const kept = one.kept === undefined ? undefined : alike.get(one.kept)!;
        const target = longestOf(
          targetOf.get(kept ?? entries[0]!)!,
          entries.map((entry) => targetOf.get(entry)!),
        );
        const { kept: _, ...rest } = one;
        return { ...rest, entries, ...(kept === undefined ? {} : { kept }), target };
      });
    }),
    ...off,
  ].sort((a, b) =>
    candidates.findIndex(({ entry }) => a.entries.includes(entry)) -
    candidates.findIndex(({ entry }) => b.entries.includes(entry))
  );
}

/** The target with the longest timeout that one of them has. */
function longestOf(target: Target, all: readonly Target[]): Target {
  const secondsOf = ({ timeoutSeconds, target }: Target) =>
    timeoutSeconds ?? defaultTimeoutSeconds(target);
  const { timeoutSeconds, notes } = all.reduce(
    (longest, one) => secondsOf(one) > secondsOf(longest) ? one : longest,
    target,
  );
  const { timeoutSeconds: _, ...rest } = target;
  return { ...rest, notes, ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }) };
}

function newJob(
  merged: MergedJob,
  now: Date,
  { works }: ProposeOptions,
  taken: Set<string>,
): Proposal {
  const { entries, kept, schedule, timeZone, reasons, isRarer, target } = merged;
  const own = [...(kept === undefined ? [] : [kept]), ...entries]
    .filter(({ isUnnamed }) => isUnnamed !== true).map(({ name }) => name);
  const names = entries.length === 1 ? [...own, target.calls] : [target.calls, ...own];
  const name = takeName(names, taken);
  // The entries never tried again, so nobody has seen the function run twice for one occurrence.
  const isOnce = target.receipt === "response" && !isRarer;
  return {
    name,
    schedule,
    timeZone,
    target,
    ...(isOnce ? { maxAttempts: 1 } : {}),
    enabled: entries.every(({ active }) => active),
    entries,
    reasons: [
      ...findingsOf(entries, now, works),
      ...reasons,
      ...target.notes,
      ...(isOnce
        ? [
          "A run that fails is not tried again: raise max_attempts where the target may be called twice",
        ]
        : []),
      ...(readTiming(schedule, "daybook").kind === "period"
        ? ["Its occurrences lie on a grid, where pg_cron counted from its last start"]
        : []),
    ],
    isThere: false,
  };
}

/** What an audit of these entries alone finds that a job does away with. */
function findingsOf(entries: readonly Entry[], now: Date, works: readonly Works[]): string[] {
  const answered =
    /^(same-work-.*|zone-pair|name-says-other-time|utc-called-local|idle-hours|secret-in-command|legacy-key)$/;
  const facts: Facts = { now, works: [...works], unknown: [] };
  // They make the same request, however their SQL says it.
  const alike = entries.map((entry) => ({ ...entry, work: entries[0]!.work }));
  return audit(alike, facts).findings.filter(({ rule }) => answered.test(rule))
    .map(({ rule, title }) => `${title} (${rule})`);
}

/** A job that does this work already. */
function jobOfSameWork(
  { target, payload }: Target,
  jobs: readonly RegisteredJob[],
  { ignoreLabels }: ProposeOptions,
): RegisteredJob | undefined {
  const without = ignoreLabels ? labels : undefined;
  return jobs.find((job) =>
    job.enabled && job.schedule !== null && job.target === target &&
    canonicalJson(job.payload, without) === canonicalJson(payload, without)
  );
}

/** Whether a job starts whenever the merged entries would. */
function covers(job: RegisteredJob, merged: Merged, timetable: Timetable): boolean {
  if (job.schedule === merged.schedule && job.timeZone === merged.timeZone) return true;
  const whole = timetable.minutesOf(entryOf(job.schedule!, job.timeZone));
  const part = timetable.minutesOf(entryOf(merged.schedule, merged.timeZone));
  return whole !== undefined && part !== undefined && isWithin(part, whole);
}

/** Times without an entry. */
function entryOf(schedule: string, zone: string): Entry {
  return {
    name: schedule,
    schedule,
    zone,
    engine: "daybook",
    command: "",
    work: { key: "", exactKey: "", label: "", kind: "other", needs: [] },
    where: "",
    active: true,
  };
}

function standIn(job: RegisteredJob, { entries, reasons, target }: MergedJob): Proposal {
  return {
    name: job.name,
    schedule: job.schedule!,
    timeZone: job.timeZone,
    target,
    enabled: true,
    entries,
    reasons: [
      ...reasons,
      `The job ${job.name} is registered, and starts the same work at these times`,
    ],
    isThere: true,
  };
}

/** What a person should know of two jobs whose work may be the same. */
function notesBetween(
  job: Proposal,
  jobs: readonly Proposal[],
  timetable: Timetable,
  { ignoreLabels }: ProposeOptions,
): string[] {
  const minutes = (one: Proposal) => timetable.minutesOf(entryOf(one.schedule, one.timeZone));
  return jobs.slice(jobs.indexOf(job) + 1).flatMap((other) => {
    const isSame = keyOf(job.target, false) === keyOf(other.target, false);
    const [mine, theirs] = [minutes(job), minutes(other)];
    if (isSame && mine !== undefined && theirs !== undefined && shareAny(mine, theirs)) {
      const kept = other.entries[0]!.name;
      return [
        `${other.name} (${other.schedule} ${other.timeZone}) starts the same work, now and then in the same minute: make one schedule of both, or say whose times are kept with --keep '${kept}'`,
      ];
    }
    if (!isSame && !ignoreLabels && keyOf(job.target, true) === keyOf(other.target, true)) {
      return [
        `The payload of ${
          namesOf(other.entries)
        } differs in labels alone: if they mean nothing, --ignore-labels makes one job of them`,
      ];
    }
    return [];
  });
}

/** Entries that were not named would go on with the same work. */
function notesOnStaying(
  job: Proposal,
  staying: readonly Candidate[],
  { ignoreLabels }: ProposeOptions,
): string[] {
  const key = keyOf(job.target, ignoreLabels);
  const same = staying.filter(({ target }) => keyOf(target, ignoreLabels) === key)
    .map(({ entry }) => entry);
  if (same.length === 0) return [];
  return [
    `${namesOf(same)} ${same.length === 1 ? "starts" : "start"} the same work and ${
      same.length === 1 ? "stays" : "stay"
    }: name ${same.length === 1 ? "it" : "them"} as well`,
  ];
}

/** The proposals as they may be shown. */
export function masked(
  { jobs, leftAlone, ownEntries }: Proposals,
  mask: (text: string) => string,
): Proposals {
  const maskEntry = (entry: Entry): Entry => ({ ...entry, name: mask(entry.name) });
  return {
    jobs: jobs.map((job) => ({
      ...job,
      entries: job.entries.map(maskEntry),
      reasons: job.reasons.map(mask),
    })),
    leftAlone: leftAlone.map(({ entry, reason }) => ({
      entry: maskEntry(entry),
      reason: mask(reason),
    })),
    ownEntries,
  };
}
