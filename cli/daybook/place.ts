/** Which place a command asks, as its options say it. */
import { CommandError, exitCodes } from "./io.ts";

/** The options that every verb has. */
export interface PlaceOptions {
  url?: string;
  dbUrl?: string;
  profile?: string;
}

/** @throws CommandError where they name more than one place. */
export function assertOnePlace({ url, dbUrl, profile }: PlaceOptions): void {
  const given = Object.entries({ "--url": url, "--db-url": dbUrl, "--profile": profile })
    .filter(([, value]) => value !== undefined).map(([option]) => option);
  if (given.length < 2) return;
  throw new CommandError(
    exitCodes.usage,
    `Cannot ask two places: ${given.join(" and ")} are given`,
  );
}
