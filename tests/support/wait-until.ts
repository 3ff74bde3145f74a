const POLL_MS = 25;
const SLOWEST_POLL_MS = 200;

/**
 * Waits until `condition` gives something, and returns it. Throws after the limit, naming what it waited for. A
 * condition that takes long is asked less often: mostly the machine then works on what is waited for.
 */
export async function waitUntil<T>(
  what: string,
  condition: () => T | undefined | false | null | Promise<T | undefined | false | null>,
  limitMs = 10_000,
): Promise<T> {
  const limit = Date.now() + limitMs;
  while (true) {
    const asked = performance.now();
    const value = await condition();
    if (value !== undefined && value !== false && value !== null) return value;
    if (Date.now() > limit) throw new Error(`Waited ${limitMs / 1000} s for ${what}`);
    const pause = Math.min(Math.max(POLL_MS, 3 * (performance.now() - asked)), SLOWEST_POLL_MS);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
