/** What the tests of `adopt` share: proposals for made-up entries. */
import type {
  Proposals,
  ProposeOptions,
  RegisteredJob,
  Surroundings,
} from "../../cli/adopt/proposal.ts";
import { propose } from "../../cli/adopt/propose.ts";
import type { Project } from "../../cli/adopt/job-request.ts";
import type { Entry } from "../../cli/audit/entry.ts";
import { NOW } from "./audit.ts";

export const PROJECT = "https://abc.supabase.co";

/** A project without a Vault secret besides Daybook's own, and without a function that Daybook serves. */
export function projectOf(more: Partial<Project> = {}): Project {
  return {
    url: PROJECT,
    urlNames: new Set(["project_url"]),
    served: new Set(),
    secrets: new Map([["project_url", PROJECT.length], ["cron_secret", 64]]),
    nameOfSecret: new Map(),
    settings: new Map(),
    ...more,
  };
}

/** A job of the registry that calls the function of its name each hour. */
export function registeredJob(name: string, more: Partial<RegisteredJob> = {}): RegisteredJob {
  return {
    name,
    alias: null,
    target: name,
    schedule: "0 * * * *",
    timeZone: "UTC",
    payload: "{}",
    secretName: "cron_secret",
    enabled: true,
    runIf: null,
    stretchAfter: null,
    hindrances: [],
    ...more,
  };
}

export function proposalsFor(
  entries: readonly Entry[],
  options: Partial<ProposeOptions> = {},
  surroundings: Partial<Surroundings> = {},
): Proposals {
  return propose(entries, {
    now: NOW,
    project: projectOf(),
    jobs: [],
    database: "postgres",
    role: "postgres",
    ...surroundings,
  }, { works: [], keep: [], chosen: [], ignoreLabels: false, ...options });
}

/** Each job in a line: `name: schedule zone < its entries`. */
export function jobsIn({ jobs }: Proposals): string[] {
  return jobs.map(({ name, schedule, timeZone, entries, registered }) =>
    `${name}: ${schedule} ${timeZone}${registered ? " (there)" : ""} < ${
      entries.map(({ name }) => name).join(", ")
    }`
  );
}

/** Why each entry is left alone. */
export function leftIn({ leftAlone }: Proposals): Record<string, string> {
  return Object.fromEntries(leftAlone.map(({ entry, reason }) => [entry.name, reason]));
}

/** The lines of a list of schedules, without comments. */
export async function linesOf(name: string): Promise<string[][]> {
  const text = await Deno.readTextFile(new URL(`schedules/${name}`, import.meta.url));
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split("\t"));
}
