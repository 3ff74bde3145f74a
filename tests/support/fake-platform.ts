import type { Platform } from "../../shared/job/platform.ts";

interface Timer {
  at: number;
  every: number | null;
  callback: () => void;
}

/** A platform whose time stands still until the test moves it. */
export class FakePlatform implements Platform {
  readonly lines: string[] = [];
  readonly kept: Promise<unknown>[] = [];
  readonly bootedAt: number;
  #now = Date.parse("2026-03-01T00:00:00Z");
  #timers = new Set<Timer>();
  #shutdownCallbacks = new Set<(reason: string) => void>();
  #shutdownReason: string | undefined;

  constructor(private readonly variables: Record<string, string> = {}) {
    this.bootedAt = this.#now;
  }

  env = (name: string) => this.variables[name];
  envNames = () => Object.keys(this.variables);
  now = () => this.#now;
  writeLine = (line: string) => void this.lines.push(line);
  waitUntil = (promise: Promise<unknown>) => void this.kept.push(promise);
  every = (intervalMs: number, callback: () => void) => this.#add(intervalMs, intervalMs, callback);
  after = (delayMs: number, callback: () => void) => this.#add(delayMs, null, callback);

  onShutdown(callback: (reason: string) => void): () => void {
    this.#shutdownCallbacks.add(callback);
    return () => this.#shutdownCallbacks.delete(callback);
  }

  shutdownReason = () => this.#shutdownReason;

  shutDown(reason: string): void {
    this.#shutdownReason = reason;
    for (const callback of this.#shutdownCallbacks) callback(reason);
  }

  /** How many timers and listeners are left: what a run did not clean up. */
  get leftovers(): number {
    return this.#timers.size + this.#shutdownCallbacks.size;
  }

  /** Moves the time, calling back what falls due on the way, and lets promises settle. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#now = next.at;
      if (next.every === null) this.#timers.delete(next);
      else next.at += next.every;
      next.callback();
      await settle();
    }
    this.#now = end;
  }

  #add(delayMs: number, every: number | null, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, every, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}

/** Lets everything run that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
