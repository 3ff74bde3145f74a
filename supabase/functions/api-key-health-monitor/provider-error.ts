/** The error in a body, shortened and without the key. */
export interface ProviderError {
  /** Machine-readable codes, the most specific first; empty when the body has none. */
  codes: readonly string[];
  message?: string;
}

const maximumLength = 200;

/**
 * Reads the error out of a body, in the shapes that providers use: `{error: {code, type, message}}` (OpenAI and
 * compatible APIs), `{detail: {status, code, type, message}}` (ElevenLabs), `{message}` (GitHub), or a text in place of
 * the inner object. Bodies of any other shape are dropped.
 */
export function readError(body: unknown, key: string): ProviderError {
  const inner = field(body, "error") ?? field(body, "detail") ?? body;
  const codes = ["status", "code", "type"]
    .map((name) => field(inner, name))
    .filter((code) => typeof code === "string" && /^[a-z][a-z0-9_.-]{1,60}$/i.test(code))
    .map((code) => withoutKey(code as string, key));
  const message = typeof inner === "string" && inner !== body ? inner : field(inner, "message");
  return {
    codes: [...new Set(codes)],
    ...(typeof message === "string" && message.trim() !== ""
      ? { message: shortWords(message, key) }
      : {}),
  };
}

/** The error in one line, or the HTTP status when the body says nothing. */
export function describeError(
  { codes, message }: ProviderError,
  status: number,
): string {
  const parts = [codes[0], message].filter((part) => part !== undefined);
  return parts.length > 0 ? parts.join(": ") : `HTTP ${status}`;
}

/** A provider's text in one line of at most 200 characters, without the key and without unstorable characters. */
export function shortWords(text: string, key: string): string {
  // Remove the key before cutting the text: a part of a key would not be recognized.
  const line = withoutKey(text, key).replace(/[\p{C}\s]+/gu, " ").trim();
  const characters = [...line];
  return characters.length <= maximumLength
    ? line
    : `${characters.slice(0, maximumLength - 3).join("")}...`;
}

/** Providers echo a key masked (`sk-ab***wxyz`) or in part: remove any word with five of its characters in a row. */
const echoedLength = 5;

function withoutKey(text: string, key: string): string {
  const secret = key.trim();
  const parts = new Set<string>();
  for (let i = 0; i + echoedLength <= secret.length; i++) {
    parts.add(secret.slice(i, i + echoedLength));
  }
  return text.replaceAll(key, "[redacted]").replace(/\S+/g, (word) => {
    if (/\*{2,}|\S\.{3}\S|[•…]/.test(word)) return "[redacted]";
    for (let i = 0; i + echoedLength <= word.length; i++) {
      if (parts.has(word.slice(i, i + echoedLength))) return "[redacted]";
    }
    return word;
  });
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return undefined;
  }
  return (value as Record<string, unknown>)[name] ?? undefined;
}
