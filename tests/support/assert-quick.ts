import assert from "node:assert/strict";

const TRIES = 5;

/**
 * Asserts that something takes less than `limitMs`, by the quickest of a few tries, since a busy machine makes any one of
 * them late. `measure` gives the milliseconds of one try; what it gives too much in each is named in the error.
 */
export async function assertQuick(
  what: string,
  limitMs: number,
  measure: () => Promise<number>,
): Promise<void> {
  const taken: number[] = [];
  while (taken.length < TRIES) {
    taken.push(await measure());
    if (taken.at(-1)! < limitMs) return;
  }
  assert.fail(`${what} took ${taken.map((ms) => Math.round(ms)).join(", ")} ms, not ${limitMs}`);
}

/** How long the work takes, in milliseconds. */
export async function timed(work: () => unknown): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}
