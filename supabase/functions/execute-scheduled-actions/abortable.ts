/** The work, or the signal's reason as soon as it fires. What the work gives later is handed to `late`. */
export function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal,
  late: (value: T) => void = () => {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    work.then((value) => signal.aborted ? late(value) : resolve(value), reject)
      .finally(() => signal.removeEventListener("abort", abort));
  });
}
