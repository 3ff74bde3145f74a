/** Random numbers that a failing test can be run again with: a seed gives the same numbers every time. */
export interface Random {
  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number;
  /** True with the probability given, 0 to 1. */
  chance(probability: number): boolean;
  pick<T>(values: readonly T[]): T;
}

/** Prints the seed. */
export function seededRandom(seed: number): Random {
  console.log(`random seed ${seed}`);
  return quietRandom(seed);
}

/** For tests of many seeds, which name the one that failed. Mulberry32. */
export function quietRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    whole: (low, high) => low + Math.floor(next() * (high - low + 1)),
    chance: (probability) => next() < probability,
    pick: <T>(values: readonly T[]) => values[Math.floor(next() * values.length)] as T,
  };
}
