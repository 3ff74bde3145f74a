import assert from "node:assert/strict";
import { withDatabase } from "../../support/database.ts";

Deno.test("vault.create_secret() keeps the secret encrypted and decrypted_secrets shows it", () =>
  withDatabase(async ({ sql }) => {
    await sql`select vault.create_secret('open sesame', 'door', 'of the cave')`;
    const [row] = await sql`select * from vault.decrypted_secrets`;
    assert.equal(row!.decrypted_secret, "open sesame");
    assert.equal(row!.name, "door");
    assert.equal(row!.description, "of the cave");
    assert.ok(!atob(row!.secret.replaceAll("\n", "")).includes("sesame"));
  }, { packs: "none" }));

Deno.test("vault.update_secret() changes what it is given and leaves the rest", () =>
  withDatabase(async ({ sql }) => {
    const [made] = await sql`select vault.create_secret('one', 'number', 'a number') as id`;
    await sql`select vault.update_secret(${made!.id}, 'two')`;
    await sql`select vault.update_secret(${made!.id}, new_description => 'another number')`;
    const [row] = await sql`select * from vault.decrypted_secrets`;
    assert.deepEqual(
      [row!.decrypted_secret, row!.name, row!.description],
      ["two", "number", "another number"],
    );
  }, { packs: "none" }));

Deno.test("a secret's name is unique and a nameless one may be there twice", () =>
  withDatabase(async ({ sql }) => {
    await sql`select vault.create_secret('a', 'same')`;
    await assert.rejects(sql`select vault.create_secret('b', 'same')`, { code: "23505" });
    await sql`select vault.create_secret('c'), vault.create_secret('c')`;
  }, { packs: "none" }));

Deno.test("a ciphertext moved to another row does not decrypt", () =>
  withDatabase(async ({ sql, admin }) => {
    await sql`select vault.create_secret('mine', 'mine'), vault.create_secret('theirs', 'theirs')`;
    await admin`
      update vault.secrets set secret = (select secret from vault.secrets where name = 'mine')
      where name = 'theirs'`;
    await assert.rejects(
      sql`select decrypted_secret from vault.decrypted_secrets where name = 'theirs'`,
      /Wrong key or corrupt data/,
    );
  }, { packs: "none" }));

Deno.test("service_role reads secrets, creates and updates them, as postgres may", () =>
  withDatabase(async ({ connect }) => {
    const service = connect("service_role");
    const [made] = await service`select vault.create_secret('one', 'number') as id`;
    await service`select vault.update_secret(${made!.id}, 'two')`;
    const [row] = await service`select decrypted_secret from vault.decrypted_secrets`;
    assert.equal(row!.decrypted_secret, "two");
    await assert.rejects(service`select vault._server_key()`, { code: "42501" });
  }, { packs: "none" }));

Deno.test("without its grants Vault refuses to decrypt, in the real one's words", () =>
  withDatabase(async ({ sql, admin }) => {
    await sql`select vault.create_secret('secret', 'secret')`;
    await admin`revoke execute on function vault._crypto_aead_det_decrypt from postgres, service_role`;
    await assert.rejects(sql`select decrypted_secret from vault.decrypted_secrets`, {
      code: "42501",
      message: "permission denied for function _crypto_aead_det_decrypt",
    });
  }, { packs: "none" }));

Deno.test("Vault is closed to anon and authenticated, and postgres cannot write its table", () =>
  withDatabase(async ({ sql, connect }) => {
    await sql`select vault.create_secret('secret', 'secret')`;
    for (const role of ["anon", "authenticated"] as const) {
      const refused = { code: "42501" };
      await assert.rejects(connect(role)`select * from vault.decrypted_secrets`, refused);
      await assert.rejects(connect(role)`select vault.create_secret('x')`, refused);
    }
    await assert.rejects(sql`insert into vault.secrets (secret) values ('x')`, { code: "42501" });
    const [seen] = await connect("service_role")`select * from vault.decrypted_secrets`;
    assert.equal(seen!.decrypted_secret, "secret");
    await assert.rejects(sql`select pg_read_file('vault.key')`, { code: "42501" });
  }, { packs: "none" }));
