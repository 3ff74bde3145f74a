/** How many of a test's random cases run: `deno task test` runs a part of them, `deno task test --whole` all. */

/** Set by `--whole`. */
export const WHOLE = "DAYBOOK_TEST_WHOLE";

const whole = Deno.env.has(WHOLE);

/** All of so many cases, or a part of them, a fifth unless told. */
export function cases(all: number, part: number = Math.ceil(all / 5)): number {
  return whole ? all : part;
}

/** All of the list, or each fifth, the first included. */
export function someOf<Case>(list: readonly Case[]): Case[] {
  return list.filter((_, nth) => whole || nth % 5 === 0);
}
