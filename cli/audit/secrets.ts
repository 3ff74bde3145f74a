/** Finds secrets in commands, and masks them in everything that an audit says. */
import { createMask } from "../../supabase/functions/autonomous-code-fixer/mask-secrets.ts";

const mask = createMask([]);
const placeholder =
  /^(?:<.*>|\[.*\]|\{.*\}|\$.*|\*+|x+)$|\b(?:your|my|the)[_ -]|example|placeholder|change[_-]?me|xxxx/i;

/** The secrets that stand in a text in plain; a placeholder, `YOUR_KEY` say, is none. */
export function secretsIn(text: string): string[] {
  const masked = mask(text);
  if (masked === text) return [];
  const literal = masked.split(/\[masked-\d+\]/)
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const found = new RegExp(`^${literal.join("([^]+?)")}$`).exec(text)?.slice(1) ?? [];
  return [...new Set(found)].filter((secret) => !placeholder.test(secret));
}

/** Replaces every secret of the texts that an audit read, and what is shaped like one. */
export function maskFor(texts: readonly string[]): (text: string) => string {
  return createMask([...new Set(texts.flatMap(secretsIn))]);
}

/** The role that a JSON Web Token gives, if it is a legacy key of Supabase: `anon`, `service_role`. */
export function legacyRole(token: string): string | undefined {
  const [, payload] = token.split(".");
  if (!token.startsWith("eyJ") || payload === undefined) return undefined;
  try {
    const base64 = payload.replaceAll("-", "+").replaceAll("_", "/");
    const { iss, role } = JSON.parse(atob(base64));
    return /^supabase/.test(iss ?? "") && /^(anon|service_role)$/.test(role ?? "")
      ? role
      : undefined;
  } catch {
    return undefined;
  }
}
