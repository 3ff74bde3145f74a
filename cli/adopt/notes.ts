/** Notes on proposed jobs: what the audit found, and what else does the same work. */
import { audit } from "../audit/audit.ts";
import type { Entry } from "../audit/entry.ts";
import type { Facts, Works } from "../audit/facts.ts";
import { shareAny, type Timetable } from "../audit/timetable.ts";
import { namesOf } from "../audit/words.ts";
import { type Candidate, keyOf } from "./candidates.ts";
import type { Proposal, ProposeOptions } from "./proposal.ts";
import { minutesOf } from "./registered.ts";

/** The findings of an audit of these entries that the job mends. */
export function findingsOf(
  entries: readonly Entry[],
  now: Date,
  works: readonly Works[],
): string[] {
  const answered =
    /^(same-work-.*|zone-pair|name-says-other-time|utc-called-local|idle-hours|secret-in-command|legacy-key)$/;
  const facts: Facts = { now, works: [...works], unknown: [] };
  // They make the same request, however their SQL says it.
  const alike = entries.map((entry) => ({ ...entry, work: entries[0]!.work }));
  return audit(alike, facts).findings.filter(({ rule }) => answered.test(rule))
    .map(({ rule, title }) => `${title} (${rule})`);
}

/** Notes on other proposed jobs that do the same work, or that differ in labels only. */
export function notesBetween(
  job: Proposal,
  jobs: readonly Proposal[],
  timetable: Timetable,
  { ignoreLabels }: ProposeOptions,
): string[] {
  const meet = (one: Proposal, other: Proposal) => {
    const [mine, theirs] = [one, other].map(({ schedule, timeZone }) =>
      minutesOf(schedule, timeZone, timetable)
    );
    return mine !== undefined && theirs !== undefined && shareAny(mine, theirs);
  };
  return jobs.slice(jobs.indexOf(job) + 1).flatMap((other) => {
    const isSame = keyOf(job.request, false) === keyOf(other.request, false);
    if (isSame && meet(job, other)) {
      const kept = other.entries[0]!.name;
      return [
        `${other.name} (${other.schedule} ${other.timeZone}) starts the same work, sometimes in the same minute: make one schedule of both, or keep the times of one with --keep '${kept}'`,
      ];
    }
    if (!isSame && !ignoreLabels && keyOf(job.request, true) === keyOf(other.request, true)) {
      return [
        `The payload of ${
          namesOf(other.entries)
        } differs only in labels: if they mean nothing, --ignore-labels makes one job of them`,
      ];
    }
    return [];
  });
}

/** A note on entries that were not named and go on with the same work. */
export function notesOnStaying(
  job: Proposal,
  staying: readonly Candidate[],
  { ignoreLabels }: ProposeOptions,
): string[] {
  const key = keyOf(job.request, ignoreLabels);
  const same = staying.filter(({ request }) => keyOf(request, ignoreLabels) === key)
    .map(({ entry }) => entry);
  if (same.length === 0) return [];
  return [
    `${namesOf(same)} ${same.length === 1 ? "starts" : "start"} the same work and ${
      same.length === 1 ? "stays" : "stay"
    }: name ${same.length === 1 ? "it" : "them"} as well`,
  ];
}
