/** The schedules.json that `plan` and `apply` compare with a database, with what the environment says of it. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { JobArgument } from "../../local/job-arguments.ts";
import { type Pack, readPacks } from "../../local/packs.ts";
import { namesIn, readIfThere } from "../../local/read-if-there.ts";
import {
  argumentsOf,
  type Entry,
  type IntervalFrom,
  type Json,
  type Path,
  readSchedulesText,
} from "../../local/schedules.ts";
import { typedPath } from "../../local/typed-path.ts";
import { errorMessage } from "../../shared/job/errors.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";

/** How the file is called in messages. */
const FILE = "supabase/schedules.json";

/** A job as the file, and the environment, want it. */
export interface WantedJob {
  job: string;
  /** Its section. */
  source: string;
  /** What register_job is given. */
  entry: { [argument: string]: Json };
  path: Path;
  /** The variable that its interval may come from, and whether it does. */
  interval?: { variable: string; isSet: boolean };
}

export interface WantedSchedules {
  /** For people. */
  file: string;
  jobs: WantedJob[];
  /** Those of a checkout of Daybook, whose names are the sections; empty in a project. */
  packs: Pack[];
  placeOf(path: Path): string;
  /** Whether the project has that edge function; true where that cannot be told. */
  hasFunction(slug: string): boolean;
}

/**
 * Reads the file of the folder in which the command was typed, or of `project`.
 *
 * @throws CommandError where there is none, or it or a variable is wrong.
 */
export async function readWanted(
  project: string | undefined,
  args: readonly JobArgument[],
  io: Pick<Io, "env">,
): Promise<WantedSchedules> {
  const folder = typedPath(project ?? ".", io.env);
  const file = join(folder, FILE);
  const text = await readIfThere(file).catch((error) => {
    throw new CommandError(exitCodes.usage, `Cannot read ${file}: ${errorMessage(error)}`);
  });
  if (text === undefined) {
    throw new CommandError(
      exitCodes.usage,
      `There is no ${file}`,
      "--project <FOLDER> says where the project is; deno task install or upgrade writes the file",
    );
  }
  let schedules;
  try {
    schedules = readSchedulesText(FILE, text, args);
  } catch (error) {
    throw new CommandError(exitCodes.usage, (error as Error).message);
  }
  const { sections, placeOf } = schedules;
  const faults: string[] = [];
  const jobs = Object.entries(sections).flatMap(([source, entries]) =>
    entries.map((entry, index): WantedJob => {
      const path = [source, index];
      const { schedule, interval, fault } = withInterval(entry, io);
      if (fault !== undefined) faults.push(`${placeOf([...path, "interval_from"])}: ${fault}`);
      return {
        job: entry.name,
        source,
        entry: { ...argumentsOf(entry), schedule },
        path,
        ...(interval === undefined ? {} : { interval }),
      };
    })
  );
  if (faults.length > 0) {
    throw new CommandError(
      exitCodes.usage,
      faults.map((fault) => `Cannot use ${fault}`).join("\n"),
    );
  }
  const functions = await namesIn(join(folder, "supabase/functions"));
  return {
    file,
    jobs,
    packs: await packsOf(folder),
    placeOf,
    hasFunction: (slug) => functions === undefined || functions.includes(slug),
  };
}

/** The packs of a checkout of Daybook; none of another folder. */
async function packsOf(folder: string): Promise<Pack[]> {
  if (await readIfThere(join(folder, "supabase/packs.json")) === undefined) return [];
  try {
    return await readPacks(pathToFileURL(`${folder}/`));
  } catch (error) {
    throw new CommandError(exitCodes.usage, (error as Error).message);
  }
}

const factors = { milliseconds: 1000, seconds: 1 };
const mostSeconds = 86_400;

/** The schedule of an entry, from the variable that it names where that is set. */
export function withInterval(
  { schedule, interval_from }: Pick<Entry, "schedule" | "interval_from">,
  io: Pick<Io, "env">,
): { schedule: string | null; interval?: { variable: string; isSet: boolean }; fault?: string } {
  if (interval_from === undefined) return { schedule };
  const { variable } = interval_from;
  const value = io.env(variable)?.trim() ?? "";
  if (value === "") return { schedule, interval: { variable, isSet: false } };
  const seconds = secondsOf(value, interval_from);
  return seconds === undefined
    ? { schedule, fault: intervalFault(value, interval_from) }
    : { schedule: `${seconds} seconds`, interval: { variable, isSet: true } };
}

function secondsOf(value: string, { unit }: IntervalFrom): number | undefined {
  const seconds = Number(value) / factors[unit];
  const isRight = /^\d{1,9}$/.test(value) && Number.isInteger(seconds) && seconds >= 1 &&
    seconds <= mostSeconds;
  return isRight ? seconds : undefined;
}

function intervalFault(value: string, { variable, unit }: IntervalFrom): string {
  const factor = factors[unit];
  return `the variable ${variable} must be ${
    unit === "seconds" ? "seconds" : "milliseconds that are whole seconds"
  }, from ${factor} to ${mostSeconds * factor}, got ${JSON.stringify(value.slice(0, 40))}`;
}
