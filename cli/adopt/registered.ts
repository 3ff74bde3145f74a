/** Compares registered jobs with requests and times. */
import type { Entry } from "../audit/entry.ts";
import { isWithin, type Minutes, type Timetable } from "../audit/timetable.ts";
import { labels } from "../audit/work.ts";
import { canonicalJson } from "./json.ts";
import type { ProposeOptions, RegisteredJob } from "./proposal.ts";
import { defaultSecretName, type JobRequest } from "./job-request.ts";

/** The jobs that do this work already. */
export function jobsOfSameWork(
  { target, payload, secretName = defaultSecretName(target) }: JobRequest,
  jobs: readonly RegisteredJob[],
  { ignoreLabels }: ProposeOptions,
): RegisteredJob[] {
  const without = ignoreLabels ? labels : undefined;
  return jobs.filter((job) =>
    job.enabled && job.schedule !== null && job.target === target &&
    job.secretName === secretName &&
    canonicalJson(job.payload, without) === canonicalJson(payload, without)
  );
}

/** Whether a job starts whenever the merged entries would. */
export function covers(
  job: RegisteredJob,
  merged: { schedule: string; timeZone: string },
  timetable: Timetable,
): boolean {
  if (job.hindrances.length > 0) return false;
  if (job.schedule === merged.schedule && job.timeZone === merged.timeZone) return true;
  const whole = minutesOf(job.schedule!, job.timeZone, timetable);
  const part = minutesOf(merged.schedule, merged.timeZone, timetable);
  return whole !== undefined && part !== undefined && isWithin(part, whole);
}

/** The minutes in which such a job starts; undefined where it is in seconds, or has signs that only Daybook knows. */
export function minutesOf(
  schedule: string,
  zone: string,
  timetable: Timetable,
): Minutes | undefined {
  return timetable.minutesOf(entryOf(schedule, zone));
}

const known = new Map<string, Entry>();

/** Times without an entry; the same for the same times, so that a timetable computes them once. */
function entryOf(schedule: string, zone: string): Entry {
  const key = `${schedule} ${zone}`;
  const entry = known.get(key) ?? timesOnly(schedule, zone);
  known.set(key, entry);
  return entry;
}

function timesOnly(schedule: string, zone: string): Entry {
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
