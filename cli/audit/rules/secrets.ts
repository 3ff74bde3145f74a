import type { Audited } from "../audited.ts";
import type { Finding } from "../finding.ts";
import { legacyRole, secretsIn } from "../secrets.ts";
import { listed, namesOf } from "../words.ts";
import { counted } from "../../../shared/text.ts";

/** Secrets in plain text in commands. A key that is public by design, `anon`'s, is none. */
export function secretsInCommands({ entries }: Audited): Finding[] {
  const found = entries.map((entry) => ({
    entry,
    secrets: secretsIn(entry.command).filter((secret) => legacyRole(secret) !== "anon"),
  })).filter(({ secrets }) => secrets.length > 0);
  if (found.length === 0) return [];
  return [{
    rule: "secret-in-command",
    severity: "error",
    certainty: "proven",
    title: `${namesOf(found.map(({ entry }) => entry))} ${
      found.length === 1 ? "holds a secret" : "hold secrets"
    } in plain text`,
    entries: found.map(({ entry }) => entry),
    evidence: found.map(({ entry, secrets }) =>
      `${entry.where}: ${counted(secrets.length, "secret")}: ${excerpt(entry.command, secrets[0]!)}`
    ),
    cost: "Whoever reads the entry, a backup or a log has the secret",
    mend: found.some(({ entry }) => entry.engine === "pg_cron")
      ? "Change the secret. Keep the new one in Vault, and let the command read vault.decrypted_secrets"
      : "Change the secret. Keep the new one in a store of secrets, and let the command read it there",
  }];
}

/** The text around a secret; `audit` masks what is in it. */
function excerpt(command: string, secret: string): string {
  const at = command.indexOf(secret);
  return command.slice(Math.max(0, at - 40), at + secret.length + 2).replace(/\s+/g, " ").trim();
}

/** Secrets in settings of a database or a role, and tables that commands read them from. */
export function secretsInSettings({ entries, facts }: Audited): Finding[] {
  const stored = (facts.database?.settings ?? []).filter(({ name, value }) =>
    secretsIn(`${name}='${value}'`).length > 0
  );
  const readers = entries.filter(({ command }) =>
    /\bapp_settings\b|current_setting\s*\(\s*'app\.[^']*(key|secret|token|password)/i.test(command)
  );
  if (stored.length === 0 && readers.length === 0) return [];
  const proven = stored.length > 0;
  return [{
    rule: "secret-in-settings",
    severity: proven ? "error" : "warning",
    certainty: proven ? "proven" : "likely",
    title: proven
      ? `${listed(stored.map(({ name }) => name))}: a secret in a setting that every role can read`
      : `${namesOf(readers)}: the secret comes from a setting or a table app_settings`,
    entries: readers,
    evidence: [
      ...stored.map(({ name, of }) => `${name} of ${of} has a value that is shaped like a secret`),
      ...readers.map(({ where, command }) =>
        `${where} reads ${/app_settings|'app\.[^']*'/i.exec(command)![0]}`
      ),
    ],
    cost: "Settings and such tables are plain text: in dumps, and for every role that may connect",
    mend: "Put it into Vault, read vault.decrypted_secrets, then reset the setting",
  }];
}

/** The keys that Supabase has replaced: JSON Web Tokens for `anon` and `service_role`. */
export function legacyKeys({ entries, facts }: Audited): Finding[] {
  const texts = entries.map((entry) => ({ entry, text: entry.command }));
  const found = texts.flatMap(({ entry, text }) => {
    const roles = new Set(secretsIn(text).map(legacyRole).filter((role) => role !== undefined));
    return roles.size > 0 ? [{ entry, roles: [...roles] }] : [];
  });
  const settings = (facts.database?.settings ?? []).filter(({ value }) =>
    legacyRole(value) !== undefined
  );
  if (found.length === 0 && settings.length === 0) return [];
  return [{
    rule: "legacy-key",
    severity: "warning",
    certainty: "proven",
    title: `${
      listed([
        ...found.map(({ entry }) => entry.name),
        ...settings.map(({ name }) => name),
      ])
    }: a legacy key of Supabase`,
    entries: found.map(({ entry }) => entry),
    evidence: [
      ...found.map(({ entry, roles }) => `${entry.where}: the key of ${listed(roles)}`),
      ...settings.map(({ name, value }) => `${name}: the key of ${legacyRole(value)}`),
    ],
    cost: "Legacy keys live ten years and cannot be replaced one by one",
    mend: "Use a secret key (sb_secret_…) or a secret of your own, from Vault",
  }];
}
