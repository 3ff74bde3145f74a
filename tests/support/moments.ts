/** The moments at which the tests have to pass: a few minutes before the clock, the date or the offset changes. */

/** Each hour of a day in UTC, named `00` to `23`, two minutes before its end. */
const hours = Array.from({ length: 24 }, (_, hour) => {
  const name = String(hour).padStart(2, "0");
  return [name, `2026-10-14T${name}:58:00Z`] as const;
});

/**
 * By name, in UTC. They lie after the days in which the tests' own worlds live, in February and March 2026. Where the true
 * time is later still, nothing but the clock differs.
 */
export const moments: Readonly<Record<string, string>> = {
  ...Object.fromEntries(hours),
  "month-end": "2026-08-31T23:58:00Z",
  "year-end": "2026-12-31T23:58:00Z",
  "berlin-spring": "2026-03-29T00:58:00Z",
  "berlin-autumn": "2026-10-25T00:58:00Z",
  "new-york-autumn": "2026-11-01T05:58:00Z",
};

/**
 * Whether a timeout of Postgres ends what it is set for, and whether it sees deadlocks. While a backend waits, libfaketime
 * shows the true time to its signal handlers: with the clock set ahead no timeout is ever over for them.
 */
export const timeoutsFire = !Deno.env.get("FAKETIME")?.startsWith("+");

/** With the clock set back, the same makes any timeout that is set be over as soon as an old alarm comes. */
export const timeoutsComeEarly = Deno.env.get("FAKETIME")?.startsWith("-") ?? false;

/** With the clock set back Deno takes a package for younger than a day and refuses it, though its version is pinned. */
export const packagesOfAnyAge = timeoutsComeEarly ? ["--minimum-dependency-age=0"] : [];

/** The moment that an argument names, by its name or in ISO 8601 with an offset; undefined when it is neither. */
export function momentOf(argument: string): Date | undefined {
  const named = Object.hasOwn(moments, argument) ? moments[argument] : undefined;
  if (named !== undefined) return new Date(named);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(argument)) return undefined;
  const moment = new Date(argument);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}
