/** Keeps what a process was given in its environment out of what it tells others. */
import { createRedact, type Redact } from "../shared/job/logger.ts";

/** Names whose values anybody may read. */
const PLAIN = new Set(["PATH", "HOME", "DENO_DIR", "TMPDIR", "LANG", "SUPABASE_URL"]);
/** Shorter values are words like `true`, and no secrets. */
const LEAST_LENGTH = 8;

/** Takes every value of the environment out of a text, and what such a value has in it: JSON's texts, a URL's password. */
export function hideEnvironment(env: Record<string, string>): Redact {
  const values = Object.entries(env)
    .filter(([name]) => !PLAIN.has(name))
    .flatMap(([, value]) => [value, value.trim(), ...textsIn(value), ...passwordIn(value)]);
  return createRedact({ cron: {}, service: {} }, values.filter((v) => v.length >= LEAST_LENGTH));
}

function textsIn(value: string): string[] {
  const texts: string[] = [];
  try {
    JSON.parse(value, (_key, part) => {
      if (typeof part === "string") texts.push(part);
    });
  } catch {
    // Most are no JSON.
  }
  return texts;
}

function passwordIn(value: string): string[] {
  if (!URL.canParse(value)) return [];
  const { password } = new URL(value);
  return [password, decodeURIComponent(password)];
}
