/** What `plan` and `apply` have in common: the file, the database, and what is said of both. */
import { databaseUrlOf, hostOf } from "./database.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { oneLine } from "./render.ts";
import type { FaultyJob, SchedulesPlan } from "./schedules-compare.ts";
import { type Registry, withRegistry } from "./schedules-database.ts";
import { readWanted, type WantedJob, type WantedSchedules } from "./schedules-file.ts";
import type { CommonOptions } from "./verb.ts";

export interface SchedulesOptions extends CommonOptions {
  project?: string;
}

export const projectOption = [
  "--project <FOLDER>",
  "whose supabase/schedules.json; without it that of the folder you are in",
] as const;

/** Why neither works over the API. */
export const ownersNote =
  "It needs the database, as the role that owns the registry: a person who registers a job may send any " +
  "secret of Vault to any address, which no operator of the API may.";

export interface Compared {
  registry: Registry;
  schedules: WantedSchedules;
  /** Those of packs that the database has. */
  jobs: WantedJob[];
  /** Lines for people: from where intervals come, what is left out. */
  notes: string[];
  /** Without a password. */
  database: string;
}

/** Runs `fn` with the file and the database that the options name. */
export async function withSchedules<T>(
  options: SchedulesOptions,
  io: Pick<Io, "env" | "stackDatabase">,
  fn: (compared: Compared) => Promise<T>,
): Promise<T> {
  const url = await databaseUrlOf(options, io);
  return await withRegistry(url, async (registry) => {
    const schedules = await readWanted(options.project, await registry.arguments(), io);
    const missing = (await registry.missing(schedules.packs)).map(({ name }) => name);
    const jobs = schedules.jobs.filter(({ source }) => !missing.includes(source));
    const left = missing.filter((pack) => schedules.jobs.some(({ source }) => source === pack));
    return await fn({
      registry,
      schedules,
      jobs,
      notes: [
        ...left.map((pack) => `The database has no pack ${pack}: its jobs are left out`),
        ...jobs.flatMap(({ job, entry, interval }) =>
          interval === undefined ? [] : [
            interval.isSet
              ? `${job}: ${entry.schedule}, from ${interval.variable}`
              : `${job}: ${entry.schedule}, because ${interval.variable} is not set`,
          ]
        ),
      ],
      database: hostOf(url),
    });
  });
}

/** The options by which another command finds the same file and database; one that may hold a password is left open. */
export function sameOptions({ project, profile, dbUrl }: SchedulesOptions): string {
  return [
    project === undefined ? "" : ` --project ${forShell(project)}`,
    profile === undefined ? "" : ` --profile ${forShell(profile)}`,
    dbUrl === undefined ? "" : " --db-url …",
  ].join("");
}

function forShell(word: string): string {
  return /^[\w./:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Jobs that would call an edge function which the project does not have. */
export function missingFunctions(
  { changes }: SchedulesPlan,
  jobs: readonly WantedJob[],
  { hasFunction }: WantedSchedules,
): string[] {
  return changes.flatMap(({ job }) => {
    const entry = jobs.find((wanted) => wanted.job === job)?.entry;
    if (entry === undefined) return [];
    const target = String(entry.target ?? job);
    return target.includes("://") || hasFunction(target)
      ? []
      : [`${job}: the project has no function supabase/functions/${target}`];
  });
}

/** @throws CommandError with each job that cannot be registered or taken out, and the place in the file. */
export function refuseFaults(
  faults: readonly FaultyJob[],
  jobs: readonly WantedJob[],
  { placeOf }: WantedSchedules,
): void {
  if (faults.length === 0) return;
  const lines = faults.map(({ job, fault, hint }) => {
    const wanted = jobs.find((wanted) => wanted.job === job);
    const said = oneLine(hint === null ? fault : `${fault} (${hint})`);
    if (wanted === undefined) return `${job} is no longer in the file: ${said}`;
    // The message begins with the argument that is wrong.
    const [, argument] = /: (\w+) /.exec(fault) ?? [];
    const field = argument !== undefined && argument in wanted.entry ? [argument] : [];
    return `${placeOf([...wanted.path, ...field])}: ${said}`;
  });
  throw new CommandError(exitCodes.usage, lines.join("\n"));
}

/**
 * The file of a checkout of Daybook names no job of a project's own.
 *
 * @throws CommandError when applying it would take out such jobs.
 */
export function refuseForeign({ changes }: SchedulesPlan, { packs, file }: WantedSchedules): void {
  if (packs.length === 0) return;
  const jobs = changes.filter(({ becomes, source }) =>
    becomes === "unregistered" && !packs.some(({ name }) => name === source)
  );
  if (jobs.length === 0) return;
  throw new CommandError(
    exitCodes.usage,
    `${file} is Daybook's own, and would take out ${jobs.map(({ job }) => job).join(", ")}`,
    "--project <FOLDER> says whose jobs they are",
  );
}
