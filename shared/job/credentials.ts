import { misconfigured } from "./errors.ts";
import type { Platform } from "./platform.ts";

/** The secrets this function knows, by the name under which a log may speak of them. */
export interface KnownSecrets {
  /** `CRON_SECRET`, and `CRON_SECRET_PREVIOUS` while rotating. */
  cron: Record<string, string>;
  /** The project's secret keys and its legacy service-role key. */
  service: Record<string, string>;
}

const minimumLength = 32;

/**
 * Reads the secrets from the environment.
 *
 * @throws HttpError 500 `misconfigured` when `CRON_SECRET` is missing, a cron secret cannot be one (see `readToken`), or
 * `SUPABASE_SECRET_KEYS` is no JSON object of strings: such a function can serve no call.
 */
export function readSecrets(env: Platform["env"]): KnownSecrets {
  const cron = { ...readToken(env, "CRON_SECRET"), ...readToken(env, "CRON_SECRET_PREVIOUS") };
  if (cron.CRON_SECRET === undefined) throw misconfigured("CRON_SECRET is not set");

  const service: Record<string, string> = { ...readSecretKeys(env("SUPABASE_SECRET_KEYS")) };
  const legacy = env("SUPABASE_SERVICE_ROLE_KEY");
  if (legacy !== undefined) service.SUPABASE_SERVICE_ROLE_KEY = legacy;
  return { cron, service };
}

/**
 * A secret that lets callers in, under its name; `{}` when it is not set.
 *
 * @throws HttpError 500 `misconfigured`, without showing it, when it is shorter than 32 characters, or has a line break,
 * blanks around it or a character outside printable ASCII: none of these arrives in a header as it was sent.
 */
export function readToken(env: Platform["env"], name: string): Record<string, string> {
  const value = env(name);
  if (value === undefined) return {};
  const fault = secretFault(value);
  if (fault !== undefined) throw misconfigured(`${name} ${fault}`);
  return { [name]: value };
}

/** What `scheduler.secret_fault` says of the same secret in Vault. */
function secretFault(value: string): string | undefined {
  if (/[\r\n]/.test(value)) return "contains a line break";
  if (value.trim() !== value) return "begins or ends with a blank";
  if (/[^ -~]/.test(value)) return "contains a character outside printable ASCII";
  if (value.length < minimumLength) return `must have at least ${minimumLength} characters`;
}

/** The key with which a function speaks to the database: the secret key, else the legacy service-role key. */
export function serviceKey(secrets: KnownSecrets): string {
  const key = secrets.service.default ?? Object.values(secrets.service)[0];
  if (key === undefined) {
    throw misconfigured("neither SUPABASE_SECRET_KEYS nor SUPABASE_SERVICE_ROLE_KEY is set");
  }
  return key;
}

function readSecretKeys(text: string | undefined): Record<string, string> {
  if (text === undefined) return {};
  let keys: unknown;
  try {
    keys = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which is secret.
    throw misconfigured("SUPABASE_SECRET_KEYS is not JSON");
  }
  const isObject = typeof keys === "object" && keys !== null && !Array.isArray(keys);
  if (!isObject || !Object.values(keys as object).every((key) => typeof key === "string" && key)) {
    throw misconfigured("SUPABASE_SECRET_KEYS must be a JSON object of names and keys");
  }
  return keys as Record<string, string>;
}
