const POLL_MS = 25;

/**
 * Waits until `condition` gives something, and returns it. Throws after the limit, naming what it waited for.
 */
export async function waitUntil<T>(
  what: string,
  condition: () => T | undefined | false | null | Promise<T | undefined | false | null>,
  limitMs = 10_000,
): Promise<T> {
  const limit = Date.now() + limitMs;
  while (true) {
    const value = await condition();
    if (value !== undefined && value !== false && value !== null) return value;
    if (Date.now() > limit) throw new Error(`Waited ${limitMs / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
