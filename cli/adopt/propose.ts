/** Entries of pg_cron in, the jobs that would take their place out. */
import { Timetable } from "../audit/timetable.ts";
import { readTiming } from "../audit/timing.ts";
import { type Candidate, candidatesOf, isDaybooks, isMeant, keyOf } from "./candidates.ts";
import { merge, type Merged, scheduleForDaybook } from "./merge.ts";
import { takeName } from "./names.ts";
import { findingsOf, notesBetween, notesOnStaying } from "./notes.ts";
import type {
  Proposal,
  Proposals,
  ProposeOptions,
  RegisteredJob,
  Surroundings,
} from "./proposal.ts";
import { covers, jobOfSameWork } from "./registered.ts";
import { defaultTimeoutSeconds, type Target } from "./target.ts";
import type { Entry } from "../audit/entry.ts";

type MergedJob = Merged & { target: Target };

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
