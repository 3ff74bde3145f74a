/** What goes into an adoption and what comes out of it. */
import type { Entry } from "../audit/entry.ts";
import type { MergeOptions } from "./merge.ts";
import type { JobRequest, Project } from "./job-request.ts";

/** A registered job, as far as it is compared with entries. */
export interface RegisteredJob {
  name: string;
  alias: string | null;
  target: string;
  schedule: string | null;
  timeZone: string;
  payload: string;
  secretName: string;
  enabled: boolean;
  /** The function that it asks whether there is work. */
  runIf: string | null;
  /** After how many runs without work it is asked less often. */
  stretchAfter: string | null;
  /** What keeps it from starting at some of its times: `calendars`, `pause`. */
  hindrances: string[];
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
  request: JobRequest;
  /** Undefined: that of `register_job`. */
  maxAttempts?: number;
  enabled: boolean;
  entries: Entry[];
  reasons: string[];
  /** The job that is registered already, and stays as it is. */
  registered?: RegisteredJob;
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
