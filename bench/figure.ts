/** One figure of a run of the bench: what was measured, its parts, and what it may be at most. */
export interface Figure {
  name: string;
  value: number;
  unit: "×" | "ms";
  limit: number;
  /** What the value was made from, so that nobody has to believe it. */
  parts: string[];
}

/** The middle of the values. */
export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** How long it takes, in milliseconds. */
export async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
