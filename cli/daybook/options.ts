/** What options take. */
import { InvalidArgumentError, Option } from "commander";
import type { Works } from "../audit/facts.ts";
import { readWorks } from "../audit/rules/idle-hours.ts";
import { isZone } from "../audit/zones.ts";
import type { Call } from "./verb.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { readMoment } from "./times.ts";

/** A whole number in that range. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`it must be a whole number from ${least} to ${most}`);
  };
}

/** `--works`: the hours in which there is work, a list. */
export function worksOption(): Option {
  return new Option(
    "--works <HOURS>",
    "when there is work: 3-6@America/New_York, or daily-*=3-6@…; repeatable",
  ).default([]).argParser((text: string, list: Works[]): Works[] => {
    try {
      return [...list, readWorks(text, isZone)];
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  });
}

/** The moment of an option, as the API takes it; undefined where it is not given. */
export function momentOf(
  io: Pick<Io, "now">,
  { zone }: Pick<Call<object>, "zone">,
  option: string,
  text: string | undefined,
  ahead = false,
): string | undefined {
  return text === undefined ? undefined : readMoment(option, text, { now: io.now(), zone, ahead });
}

type Named = "job" | "group" | "channel";

/**
 * The name of an argument or option. No name is blank, and none is `.` or `..`: in a path, a URL takes these for steps
 * between folders, and an empty part for none, so each would ask another route.
 */
export function nameOf(what: Named, text: string): string {
  if (text.trim() !== "" && !/^\.{1,2}$/.test(text)) return text;
  throw new CommandError(exitCodes.usage, `There is no ${what} named '${text}'`);
}

/** The job of an argument or option that need not be given. */
export function jobIfAny(text: string | undefined): string | undefined {
  return text === undefined ? undefined : nameOf("job", text);
}

/** The route below a job, a group or a channel. */
export function routeOf(what: Named, name: string, verb: string): string {
  return `${what}s/${encodeURIComponent(nameOf(what, name))}/${verb}`;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The id of a run, as an argument. */
export function runIdOf(text: string | undefined): string {
  if (text !== undefined && uuid.test(text)) return text.toLowerCase();
  throw new CommandError(
    exitCodes.usage,
    `${text} is no id of a run`,
    "deno task daybook runs lists them",
  );
}

export const payloadForms =
  "a JSON object instead of the registered payload; @FILE reads it from a file";

/** The payload of an option; undefined where it is not given. */
export async function readPayload(
  text: string | undefined,
): Promise<Record<string, unknown> | undefined> {
  if (text === undefined) return undefined;
  const refuse = (why: string) => new CommandError(exitCodes.usage, `Cannot use --payload: ${why}`);
  let json = text;
  if (text.startsWith("@")) {
    json = await Deno.readTextFile(text.slice(1)).catch(() => {
      throw refuse(`cannot read the file ${text.slice(1)}`);
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw refuse(`it is no JSON: ${(error as Error).message}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw refuse("it must be a JSON object");
}
