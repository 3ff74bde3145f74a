import assert from "node:assert/strict";
import { withDatabase } from "../support/database.ts";

Deno.test("vault.create_secret() keeps the secret encrypted and decrypted_secrets shows it", () =>
  withDatabase(async ({ sql }) => {
    await sql`select vault.create_secret('open sesame', 'door', 'of the cave')`;
    const [row] =
      await sql`select secret, decrypted_secret, name, description from vault.decrypted_secrets`;
    assert.equal(row!.decrypted_secret, "open sesame");
    assert.equal(row!.name, "door");
    assert.equal(row!.description, "of the cave");
    assert.ok(!row!.secret.includes("sesame"));
  }, { migrated: false }));
