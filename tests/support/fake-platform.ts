import type { Platform } from "../../shared/job/platform.ts";
import { FakeClock } from "./fake-clock.ts";

/** A platform whose time stands still until the test moves it. */
export class FakePlatform implements Platform {
  readonly lines: string[] = [];
  readonly kept: Promise<unknown>[] = [];
  readonly bootedAt: number;
  readonly #clock = new FakeClock();
  #shutdownCallbacks = new Set<(reason: string) => void>();
  #shutdownReason: string | undefined;

  constructor(private readonly variables: Record<string, string> = {}) {
    this.bootedAt = this.#clock.now();
  }

  env = (name: string) => this.variables[name];
  envNames = () => Object.keys(this.variables);
  now = this.#clock.now;
  writeLine = (line: string) => void this.lines.push(line);
  waitUntil = (promise: Promise<unknown>) => void this.kept.push(promise);
  every = this.#clock.every;
  after = this.#clock.after;

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
    return this.#clock.pending + this.#shutdownCallbacks.size;
  }

  /** Moves the time, calling back what falls due on the way, and lets promises settle. */
  async advance(ms: number): Promise<void> {
    await this.#clock.advance(ms);
  }
}
