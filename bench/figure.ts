/** One figure of a run of the bench: what was measured, its parts, and what it may be at most, or must be at least. */
export interface Figure {
  name: string;
  value: number;
  unit: "×" | "ms" | "beats" | "jobs" | "occurrences" | "a second";
  limit: number;
  /** Whether the limit is the most that is allowed or the least; the most when absent. */
  bound?: "at most" | "at least";
  /** The measurements that the value was made from. */
  parts: string[];
}

/** Whether the value is within its limit. */
export function held({ value, limit, bound }: Figure): boolean {
  return bound === "at least" ? value >= limit : value <= limit;
}

/** The middle of the values. */
export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** The value below which that share of the values lies: 0.99 for the 99th percentile. */
export function quantile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** How long it takes, in milliseconds. */
export async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
