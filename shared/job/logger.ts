import type { KnownSecrets } from "./credentials.ts";
import type { Platform } from "./platform.ts";

/** JSON lines; each carries the job and the run. */
export interface Logger {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** Supabase cuts a log line at 10,000 characters. */
const maximumLineLength = 10_000;

/** Takes every known secret out of a text. */
export type Redact = (text: string) => string;

/**
 * Knows each secret as it is and as it stands in a text that quotes JSON, with its `"` and `\` escaped.
 *
 * @param own Further secrets: those of the job itself.
 */
export function createRedact(secrets: KnownSecrets, own: readonly string[] = []): Redact {
  const values = [...Object.values(secrets.cron), ...Object.values(secrets.service), ...own];
  const forms = new Set(values.flatMap((value) => [value, JSON.stringify(value).slice(1, -1)]));
  // The longest first: replacing a secret that begins another one would leave the other's end in the text.
  const longestFirst = [...forms].sort((a, b) => b.length - a.length);
  return (text) => longestFirst.reduce((clean, form) => clean.replaceAll(form, "[redacted]"), text);
}

/**
 * A copy of the value as JSON has it, each of its texts and keys without any known secret. One by one: redacting
 * the JSON as a whole could take a quote or a backslash of JSON's own along.
 *
 * @throws TypeError or RangeError for a value that is no JSON.
 */
export function redactJson<T>(value: T, redact: Redact): T {
  return JSON.parse(JSON.stringify(value), (_key, part: unknown) => {
    if (typeof part === "string") return redact(part);
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).map(([key, child]) => [redact(key), child]));
  });
}

/** Logs with these fields on every line, and without any known secret. */
export function createLogger(
  platform: Pick<Platform, "now" | "writeLine">,
  redact: Redact,
  context: Record<string, unknown>,
): Logger {
  const write = (level: string) => (message: string, fields: Record<string, unknown> = {}) => {
    const time = new Date(platform.now()).toISOString();
    let line = JSON.stringify(redactJson({ time, level, message, ...context, ...fields }, redact));
    if (line.length > maximumLineLength) {
      line = JSON.stringify({
        time,
        level,
        message: redact(message).slice(0, 1000),
        ...context,
        truncated: `${line.length} characters`,
      });
    }
    platform.writeLine(line);
  };
  return { info: write("info"), warn: write("warn"), error: write("error") };
}
