import type { Sql } from "postgres";

/** Puts secrets into Vault under these names, or changes those that are there. */
export async function storeSecrets(sql: Sql, secrets: Record<string, string>): Promise<void> {
  for (const [name, secret] of Object.entries(secrets)) {
    const [existing] = await sql`
      select id, decrypted_secret from vault.decrypted_secrets where name = ${name}`;
    if (existing === undefined) {
      await sql`select vault.create_secret(${secret}, ${name})`;
    } else if (existing.decrypted_secret !== secret) {
      await sql`select vault.update_secret(${existing.id}, ${secret})`;
    }
  }
}
