import { PermanentError } from "../../../shared/job/errors.ts";

/** A UTC day, `YYYY-MM-DD`, from `startsAt` up to `endsAt` exclusive. */
export interface Day {
  name: string;
  startsAt: Date;
  endsAt: Date;
}

const dayMs = 86_400_000;
const firstDay = new Date("2000-01-01T00:00:00Z");

/** The last whole UTC day before that moment. */
export function lastWholeDay(moment: Date): Day {
  return dayFrom(Math.floor(moment.getTime() / dayMs) * dayMs - dayMs);
}

/**
 * The day from the input.
 *
 * @throws PermanentError for a day that is not over at `now`, and for a day before the first possible report.
 */
export function dayNamed(name: string, now: Date): Day {
  const problem = problemOf(name, now);
  if (problem !== undefined) throw new PermanentError(`Cannot report on ${name}: ${problem}`);
  return dayFrom(Date.parse(`${name}T00:00:00Z`));
}

/** Why a report on a day, `YYYY-MM-DD`, is impossible at `now`. */
export function problemOf(name: string, now: Date): string | undefined {
  const startsAt = new Date(`${name}T00:00:00Z`);
  if (!(startsAt >= firstDay)) return "no day before 2000 is known";
  return startsAt.getTime() + dayMs > now.getTime() ? "the day is not over (UTC)" : undefined;
}

function dayFrom(startMs: number): Day {
  const startsAt = new Date(startMs);
  return {
    name: startsAt.toISOString().slice(0, 10),
    startsAt,
    endsAt: new Date(startMs + dayMs),
  };
}
