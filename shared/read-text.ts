/** The bytes are no UTF-8. */
export class NotTextError extends Error {
  override readonly name = "NotTextError";
}

/**
 * The body's text; undefined when it is longer than `maximumBytes`, of which no more is read: an answer without end
 * would fill the memory.
 *
 * @param options.signal Ends the reading, also where the body itself does not listen to it.
 * @param options.strict True: bytes that are no UTF-8 are refused; else U+FFFD replaces them.
 * @throws The signal's reason when it fires, NotTextError, what the body throws when it breaks off.
 */
export async function readText(
  { body }: Pick<Response, "body">,
  maximumBytes: number,
  { signal, strict = false }: { signal?: AbortSignal; strict?: boolean } = {},
): Promise<string | undefined> {
  const reader = body?.getReader();
  if (reader === undefined) return "";
  const cancel = () => void reader.cancel().catch(() => {});
  signal?.addEventListener("abort", cancel);
  try {
    const decoder = new TextDecoder("utf-8", { fatal: strict });
    const decode = (chunk?: Parameters<TextDecoder["decode"]>[0]) => {
      try {
        return decoder.decode(chunk, { stream: chunk !== undefined });
      } catch {
        cancel();
        throw new NotTextError("the body is no UTF-8");
      }
    };
    let text = "";
    let bytes = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return text + decode();
      bytes += value.byteLength;
      if (bytes > maximumBytes) {
        cancel();
        return undefined;
      }
      text += decode(value);
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}
