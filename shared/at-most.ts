/** Calls back once after `delayMs` unless the returned function is called first. */
type After = (delayMs: number, callback: () => void) => () => void;

const afterTimeout: After = (delayMs, callback) => {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
};

/**
 * Waits for `work`, but no longer than `ms`. Work that takes longer goes on, and its error, should it fail, is ignored.
 *
 * @param after The timer; tests hand in their own.
 * @throws What `work` throws within that time.
 */
export async function atMost(
  ms: number,
  work: Promise<unknown>,
  after: After = afterTimeout,
): Promise<void> {
  const late = Promise.withResolvers<void>();
  const cancel = after(ms, late.resolve);
  try {
    await Promise.race([work, late.promise]);
  } finally {
    cancel();
  }
}
