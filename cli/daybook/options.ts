/** What options take. */
import { InvalidArgumentError } from "commander";
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

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The id of a run, as an argument. */
export function runIdOf(text: string | undefined): string {
  if (text !== undefined && uuid.test(text)) return text.toLowerCase();
  throw new CommandError(
    exitCodes.usage,
    `${text} is no id of a run`,
    "deno task daybook runs lists them: 01234567-89ab-cdef-0123-456789abcdef",
  );
}
