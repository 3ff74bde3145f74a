import { PermanentError } from "../../../shared/errors.ts";

/** A UTC day, `YYYY-MM-DD`, from `startsAt` until before `endsAt`. */
export interface Day {
  name: string;
  startsAt: Date;
  endsAt: Date;
}

const dayMs = 86_400_000;

/** The last whole UTC day before that moment. */
export function lastWholeDay(moment: Date): Day {
  return dayFrom(Math.floor(moment.getTime() / dayMs) * dayMs - dayMs);
}

/**
 * The day that a person asks for.
 *
 * @throws PermanentError for a day that is not over at `now`.
 */
export function dayNamed(name: string, now: Date): Day {
  const day = dayFrom(Date.parse(`${name}T00:00:00Z`));
  if (day.endsAt > now) {
    throw new PermanentError(`Cannot report on ${name}: the day is not over (UTC)`);
  }
  return day;
}

function dayFrom(startMs: number): Day {
  const startsAt = new Date(startMs);
  return {
    name: startsAt.toISOString().slice(0, 10),
    startsAt,
    endsAt: new Date(startMs + dayMs),
  };
}
