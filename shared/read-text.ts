/**
 * The body's text; undefined when it is longer than `maximumBytes`, of which no more is read: an answer without end
 * would fill the memory.
 */
export async function readText(
  response: Response,
  maximumBytes: number,
): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    // Leaving the loop cancels the body.
    if ((bytes += chunk.byteLength) > maximumBytes) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
