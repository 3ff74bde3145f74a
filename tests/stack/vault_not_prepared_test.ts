// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import postgres, { type Sql } from "postgres";
import { bootstrapDatabase } from "../../local/bootstrap.ts";
import { postgresUser } from "../../local/os-user.ts";
import { findPostgres } from "../../local/postgres-binaries.ts";
import { preparePostgres } from "../../local/postgres.ts";
import { storeSecrets } from "../../local/store-secrets.ts";
import { withStack } from "../support/stack.ts";

const GRANTS = new URL("../../local/sql/vault_grants.sql", import.meta.url);
const CONTROL = "default_version = '0.3.1'\nrelocatable = false\nschema = vault\n";

/** An extension with Vault's name, rights and faults; which of these it has depends on the database's name. */
const SCRIPT = `
do $$ begin
  if current_database() = 'without_library' then
    raise exception 'could not access file "$libdir/supabase_vault": No such file or directory';
  end if;
end $$;
create table vault.secrets (
  id uuid primary key default gen_random_uuid(), name text unique, secret text not null);
create function vault._crypto_aead_det_decrypt(message text) returns text
language sql as $$ select reverse($1) $$;
create view vault.decrypted_secrets as
  select id, name, vault._crypto_aead_det_decrypt(secret) as decrypted_secret from vault.secrets;
create function vault.create_secret(new_secret text, new_name text) returns uuid
language plpgsql security definer as $$
begin
  if current_database() in ('postgres', 'without_key', 'in_use', 'made_before') then
    raise exception 'pgsodium_derive_helper: pgsodium_derive: no server secret key defined.';
  end if;
  insert into vault.secrets (secret, name) values (reverse(new_secret), new_name);
  return null;
end $$;
create function vault.update_secret(secret_id uuid, new_secret text) returns void
language sql security definer as $$
  update vault.secrets set secret = reverse(new_secret) where id = secret_id
$$;
revoke all on function vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
from public;`;

/** The programs of a Postgres that has such a Vault. */
async function withPrograms(fn: (bin: string, directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "daybook-vault-" });
  // Postgres may run as another user than we do.
  await Deno.chmod(directory, 0o755);
  try {
    const { bin } = await findPostgres({
      user: await postgresUser(() => {}),
      reachableDirectory: () => Promise.resolve(join(directory, "copied")),
      onProgress: () => {},
    });
    const programs = join(directory, "programs");
    const copy = await new Deno.Command("cp", { args: ["-R", dirname(bin), programs] }).output();
    assert.ok(copy.success, new TextDecoder().decode(copy.stderr));
    const extensions = join(programs, "share", "postgresql", "extension");
    await Deno.writeTextFile(join(extensions, "supabase_vault.control"), CONTROL);
    await Deno.writeTextFile(join(extensions, "supabase_vault--0.3.1.sql"), SCRIPT);
    await fn(join(programs, "bin"), directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Bootstraps a database of that name and keeps a secret in it; whether its Vault is a stand-in, and what was said. */
async function bootstrap(
  server: { adminUrl(database?: string): string },
  name: string,
  before: (admin: Sql) => Promise<unknown> = () => Promise.resolve(),
) {
  const maintenance = postgres(server.adminUrl(), { max: 1, onnotice: () => {} });
  await maintenance.unsafe(`create database ${name}`);
  await maintenance.end();
  const said: string[] = [];
  const admin = postgres(server.adminUrl(name), { max: 1, onnotice: () => {} });
  try {
    await before(admin);
    const { vault } = await bootstrapDatabase(admin, {
      onProgress: (message) => said.push(message),
    });
    await admin`set role postgres`;
    await storeSecrets(admin, { cron_secret: "open sesame" });
    const secrets = await admin`select name, decrypted_secret from vault.decrypted_secrets`;
    assert.deepEqual([...secrets], [{ name: "cron_secret", decrypted_secret: "open sesame" }]);
    return { vault, said };
  } finally {
    await admin.end();
  }
}

const said = (problem: string) => [
  "Using a stand-in of supabase_vault: the server has it, but is not prepared for it " +
  `(${problem})`,
];
const NO_KEY = "pgsodium_derive_helper: pgsodium_derive: no server secret key defined.";

Deno.test("a server whose Vault does not work gets a stand-in, and start says why", (t) =>
  withPrograms(async (postgresBin, directory) => {
    const server = await preparePostgres({
      dataDirectory: join(directory, "data"),
      port: 0,
      adminPassword: "password",
      postgresBin,
      settings: { fsync: "off" },
    });
    await server.start();
    try {
      const problems: [string, string][] = [
        ["without_key", NO_KEY],
        [
          "without_library",
          'could not access file "$libdir/supabase_vault": No such file or directory',
        ],
      ];
      for (const [name, problem] of problems) {
        await t.step(name, async () => {
          assert.deepEqual(await bootstrap(server, name), { vault: true, said: said(problem) });
        });
      }
      await t.step(
        "one that works is granted as on Supabase and used, and nothing is said",
        async () => {
          assert.deepEqual(await bootstrap(server, "prepared"), { vault: false, said: [] });
        },
      );
      await t.step("a stand-in that has lost its key says what the real one says", async () => {
        await Deno.remove(join(server.cluster, "vault.key"));
        const admin = postgres(server.adminUrl("without_key"), { max: 1 });
        await assert.rejects(admin`select vault.create_secret('secret')`, { message: NO_KEY });
        await assert.rejects(admin`select decrypted_secret from vault.decrypted_secrets`, {
          message: NO_KEY,
        });
        await admin.end();
      });
      const createBare = (admin: Sql) => admin`create extension supabase_vault`;
      const createReal = async (admin: Sql) => {
        await createBare(admin);
        await admin.unsafe(await Deno.readTextFile(GRANTS));
      };
      await t.step("one that was created before and holds nothing is replaced", async () => {
        assert.deepEqual(await bootstrap(server, "made_before", createReal), {
          vault: true,
          said: said(NO_KEY),
        });
      });
      await t.step("one that was created before without grants is replaced", async () => {
        assert.deepEqual(await bootstrap(server, "without_grants", createBare), {
          vault: true,
          said: said("permission denied for function create_secret"),
        });
      });
      await t.step("one that holds secrets is left as it is", async () => {
        await assert.rejects(
          bootstrap(server, "in_use", async (admin) => {
            await createReal(admin);
            await admin`insert into vault.secrets (secret) values ('kept')`;
          }),
          {
            message:
              `Cannot use supabase_vault of this server, nor replace it as it is in use: ${NO_KEY}`,
          },
        );
        const admin = postgres(server.adminUrl("in_use"), { max: 1 });
        assert.equal((await admin`select * from vault.secrets`).length, 1);
        await admin.end();
      });
    } finally {
      await server.stop();
    }
  }));

Deno.test("the stack starts on a server whose Vault does not work, and says so", () =>
  withPrograms(async (postgresBin) => {
    const messages: string[] = [];
    await withStack(
      { postgresBin, cron: false, onProgress: (message) => messages.push(message) },
      async ({ sql, standIns }) => {
        assert.ok(standIns.vault);
        assert.deepEqual(messages.filter((message) => message.includes("stand-in")), said(NO_KEY));
        const secrets = await sql`select name from vault.decrypted_secrets order by name`;
        assert.deepEqual(secrets.map((row) => row.name), ["cron_secret", "project_url"]);
      },
    );
  }));
