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

export function createRedact(secrets: KnownSecrets): Redact {
  const values = [...Object.values(secrets.cron), ...Object.values(secrets.service)];
  return (text) => values.reduce((clean, value) => clean.replaceAll(value, "[redacted]"), text);
}

/** Logs with these fields on every line, and without any known secret. */
export function createLogger(
  platform: Pick<Platform, "now" | "writeLine">,
  redact: Redact,
  context: Record<string, unknown>,
): Logger {
  const write = (level: string) => (message: string, fields: Record<string, unknown> = {}) => {
    const time = new Date(platform.now()).toISOString();
    let line = redact(JSON.stringify({ time, level, message, ...context, ...fields }));
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
