/**
 * The body's text; undefined when it is longer than `maximumBytes`, of which no more is read: an answer without end
 * would fill the memory.
 *
 * @param signal Ends the reading, also where the body itself does not listen to it.
 * @throws The signal's reason when it fires.
 */
export async function readText(
  response: Response,
  maximumBytes: number,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  const cancel = () => void reader.cancel().catch(() => {});
  signal?.addEventListener("abort", cancel);
  try {
    const decoder = new TextDecoder();
    let text = "";
    let bytes = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return text + decoder.decode();
      bytes += value.byteLength;
      if (bytes > maximumBytes) {
        cancel();
        return undefined;
      }
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}
