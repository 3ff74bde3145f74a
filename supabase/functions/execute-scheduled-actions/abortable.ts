/** Resolves with the work's result, or rejects with the signal's reason. `late` gets a result that comes after that. */
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
