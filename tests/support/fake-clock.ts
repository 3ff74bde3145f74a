interface Timer {
  at: number;
  every: number | null;
  callback: () => void;
}

/** Time that stands still until the test moves it. */
export class FakeClock {
  #now = Date.parse("2026-03-01T00:00:00Z");
  #timers = new Set<Timer>();

  now = () => this.#now;
  every = (intervalMs: number, callback: () => void) => this.#add(intervalMs, intervalMs, callback);
  after = (delayMs: number, callback: () => void) => this.#add(delayMs, null, callback);
  sleep = (ms: number) => new Promise<void>((resolve) => void this.after(ms, resolve));

  /** How many timers have been neither cancelled nor fired for the last time. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves the time, calling back what falls due on the way, and lets promises settle. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.at > end) break;
      this.#fire(next);
      await settle();
    }
    this.#now = end;
  }

  /**
   * Moves the time from one timer to the next until `work` has settled.
   *
   * @throws When it has not by the moment `latest`, or while `most` timers fire at one moment.
   */
  async until<T>(work: Promise<T>, { latest, most }: { latest: number; most: number }): Promise<T> {
    let isSettled = false;
    const settled = () => void (isSettled = true);
    work.then(settled, settled);
    await settle();
    for (let atOnce = 0; !isSettled;) {
      const next = this.#next();
      if (next === undefined || next.at > latest) throw new Error("hangs: nothing more ends it");
      atOnce = next.at > this.#now ? 0 : atOnce + 1;
      if (atOnce > most) throw new Error(`is busy without end: ${most} steps at one moment`);
      this.#fire(next);
      await settle();
    }
    return await work;
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (next === undefined || timer.at < next.at) next = timer;
    return next;
  }

  #fire(timer: Timer): void {
    this.#now = timer.at;
    if (timer.every === null) this.#timers.delete(timer);
    else timer.at += timer.every;
    timer.callback();
  }

  #add(delayMs: number, every: number | null, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, every, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }
}

/** Lets everything run that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
