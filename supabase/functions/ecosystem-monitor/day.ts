import { PermanentError } from "../../../shared/errors.ts";

/** A UTC day, `YYYY-MM-DD`, from `startsAt` until before `endsAt`. */
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
 * The day that a person asks for.
 *
 * @throws PermanentError for a day that is not over at `now`, or from before there was anything to report on.
 */
export function dayNamed(name: string, now: Date): Day {
  const day = dayFrom(Date.parse(`${name}T00:00:00Z`));
  if (day.endsAt > now) {
    throw new PermanentError(`Cannot report on ${name}: the day is not over (UTC)`);
  }
  if (day.startsAt < firstDay) {
    throw new PermanentError(`Cannot report on ${name}: no day before 2000 is known`);
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
