/** Proposes the jobs that take the place of entries of pg_cron. */
import { Timetable } from "../audit/timetable.ts";
import { readTiming } from "../audit/timing.ts";
import {
  type Candidate,
  candidatesOf,
  headerSecretsOf,
  isDaybooks,
  isMeant,
  keyOf,
} from "./candidates.ts";
import { merge, type Merged } from "./merge.ts";
import { takeName } from "./names.ts";
import { findingsOf, notesBetween, notesOnStaying } from "./notes.ts";
import type {
  Proposal,
  Proposals,
  ProposeOptions,
  RegisteredJob,
  Surroundings,
} from "./proposal.ts";
import { covers, jobsOfSameWork } from "./registered.ts";
import { scheduleForDaybook } from "./schedule.ts";
import { defaultTimeoutSeconds, type JobRequest } from "./job-request.ts";
import type { Entry } from "../audit/entry.ts";
import { listed } from "../audit/words.ts";

type MergedJob = Merged & { request: JobRequest };

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
  const secrets = headerSecretsOf(entries, surroundings.project);
  const { candidates, leftAlone } = candidatesOf(meant, surroundings, options, secrets);
  const timetable = new Timetable(surroundings.now);
  const decided = mergeCandidates(candidates, timetable, options).map((one) => {
    const same = jobsOfSameWork(one.request, surroundings.jobs, options);
    const covering = same.find((job) => covers(job, one, timetable));
    const there = covering ?? same[0];
    return { one, there, isAdopted: there === covering };
  });
  for (const { one, there, isAdopted } of decided) {
    if (isAdopted) continue;
    const reason = reasonOfJob(there!, one);
    leftAlone.push(...one.entries.map((entry) => ({ entry, reason })));
  }
  const left = new Set(leftAlone.map(({ entry }) => entry));
  const staying = foreign.filter((entry) => !meant.includes(entry) || left.has(entry));
  const taken = new Set([
    "scheduler-pulse",
    ...surroundings.jobs.flatMap(({ name, alias }) => alias === null ? [name] : [name, alias]),
    ...staying.filter(({ username }) => username === surroundings.role).map(({ name }) => name),
  ]);
  const jobs = joinByJob(
    decided.filter(({ isAdopted }) => isAdopted).map(({ one, there }) =>
      there === undefined ? newJob(one, surroundings.now, options, taken) : standIn(there, one)
    ),
  );
  const unnamed = candidatesOf(
    foreign.filter((entry) => !meant.includes(entry)),
    surroundings,
    options,
    secrets,
  ).candidates;
  for (const job of jobs) {
    job.reasons.push(
      ...notesBetween(job, jobs, timetable, options),
      ...notesOnStaying(job, unnamed, options),
    );
  }
  return { jobs, leftAlone, ownEntries: entries.length - foreign.length };
}

function mergeCandidates(
  candidates: readonly Candidate[],
  timetable: Timetable,
  options: ProposeOptions,
): MergedJob[] {
  const requestOf = new Map(candidates.map(({ entry, request }) => [entry, request]));
  const active = candidates.filter(({ entry }) => entry.active);
  const groups = [
    ...Map.groupBy(active, ({ request }) => keyOf(request, options.ignoreLabels)).values(),
  ];
  const off = candidates.filter(({ entry }) => !entry.active).map(({ entry, request }) => ({
    entries: [entry],
    kept: entry,
    schedule: scheduleForDaybook(entry.schedule),
    timeZone: entry.zone,
    reasons: ["It is switched off, and so is the job"],
    isRarer: false,
    request,
  }));
  return [
    ...groups.flatMap((group) => {
      // Payloads of a group may differ in labels. Pairs are found among entries with the same work.
      const work = { ...group[0]!.entry.work };
      const alike = new Map(group.map(({ entry }) => [{ ...entry, work }, entry]));
      return merge([...alike.keys()], timetable, options).map((one) => {
        const entries = one.entries.map((entry) => alike.get(entry)!);
        const kept = one.kept === undefined ? undefined : alike.get(one.kept)!;
        const request = longestOf(
          requestOf.get(kept ?? entries[0]!)!,
          entries.map((entry) => requestOf.get(entry)!),
        );
        const { kept: _, ...rest } = one;
        return { ...rest, entries, ...(kept === undefined ? {} : { kept }), request };
      });
    }),
    ...off,
  ].sort((a, b) =>
    candidates.findIndex(({ entry }) => a.entries.includes(entry)) -
    candidates.findIndex(({ entry }) => b.entries.includes(entry))
  );
}

/** The request with the longest timeout that one of them has. */
function longestOf(request: JobRequest, all: readonly JobRequest[]): JobRequest {
  const secondsOf = ({ timeoutSeconds, target }: JobRequest) =>
    timeoutSeconds ?? defaultTimeoutSeconds(target);
  const { timeoutSeconds, notes } = all.reduce(
    (longest, one) => secondsOf(one) > secondsOf(longest) ? one : longest,
    request,
  );
  const { timeoutSeconds: _, ...rest } = request;
  return { ...rest, notes, ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }) };
}

function newJob(
  merged: MergedJob,
  now: Date,
  { works }: ProposeOptions,
  taken: Set<string>,
): Proposal {
  const { entries, kept, schedule, timeZone, reasons, isRarer, request } = merged;
  const own = [...(kept === undefined ? [] : [kept]), ...entries]
    .filter(({ isUnnamed }) => isUnnamed !== true).map(({ name }) => name);
  const names = entries.length === 1 ? [...own, request.calls] : [request.calls, ...own];
  const name = takeName(names, taken);
  // The entries never tried again, so it is not known whether the target may be called twice for one occurrence.
  const isOnce = request.receipt === "response" && !isRarer;
  return {
    name,
    schedule,
    timeZone,
    request,
    ...(isOnce ? { maxAttempts: 1 } : {}),
    enabled: entries.every(({ active }) => active),
    entries,
    reasons: [
      ...findingsOf(entries, now, works),
      ...reasons,
      ...request.notes,
      ...(isOnce
        ? [
          "A run that fails is not tried again: raise max_attempts where the target may be called twice",
        ]
        : []),
      ...(readTiming(schedule, "daybook").kind === "period"
        ? ["It starts at multiples of its interval; pg_cron counted from the last start"]
        : []),
    ],
  };
}

function standIn(job: RegisteredJob, { entries, reasons, request }: MergedJob): Proposal {
  return {
    name: job.name,
    schedule: job.schedule!,
    timeZone: job.timeZone,
    request,
    enabled: true,
    entries,
    reasons: [
      ...reasons,
      `The job ${job.name} is registered, and starts the same work at these times${
        job.runIf === null ? "" : `, when its run_if ${job.runIf} says so`
      }`,
      ...(job.stretchAfter === null
        ? []
        : [`It runs less often after ${job.stretchAfter} runs without work (stretch_after)`]),
    ],
    registered: job,
  };
}

/** Work that starts at times apart may be covered by one registered job: that is one proposal. */
function joinByJob(proposals: readonly Proposal[]): Proposal[] {
  return [...Map.groupBy(proposals, ({ name }) => name).values()].map((same) => ({
    ...same[0]!,
    entries: same.flatMap(({ entries }) => entries),
    reasons: [...new Set(same.flatMap(({ reasons }) => reasons))],
  }));
}

/** Why a registered job that starts the same work does not take the place of the entries. */
function reasonOfJob(job: RegisteredJob, { schedule, timeZone }: Merged): string {
  const named = `the job ${job.name} (${job.schedule} ${job.timeZone}) starts the same work`;
  return job.hindrances.length > 0
    ? `${named}, and its ${listed(job.hindrances)} ${
      job.hindrances.length === 1 ? "keeps" : "keep"
    } it from some runs: change the job, or take it out with scheduler.unregister_job`
    : `${named}, and not always when ${schedule} ${timeZone} does: ` +
      `change its times, give the hours with --works, or take it out with scheduler.unregister_job`;
}
