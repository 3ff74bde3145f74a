/**
 * Turns a bare Postgres into what a fresh Supabase project is: its roles, schemas, default rights and
 * extensions; the real ones where the server has them, stand-ins elsewhere.
 */
import postgres, { type Sql, type TransactionSql } from "postgres";

export interface BootstrapOptions {
  /** The password of `postgres` and of `authenticator`; left alone when absent. */
  password?: string | undefined;
  /** True for the default rights of a new project instead of those of an older one. */
  closedDefaults?: boolean;
  /** False to use stand-ins even where the server has the real extension. */
  realExtensions?: boolean;
  /** Told when the server has an extension that does not work as it is set up. */
  onProgress?(message: string): void;
}

/** Which extensions are stand-ins, so need a worker of ours. */
export interface StandIns {
  pgCron: boolean;
  pgNet: boolean;
  vault: boolean;
}

interface Extension {
  name: string;
  /** An SQL condition: this server and this database can have the real one. */
  usable: string;
  createReal: string;
  standIn: string;
  grants?: string;
  /** Fails when the real one is there and does not work; leaves nothing behind. */
  probe?: string;
  /** An SQL condition: the real one holds nothing, so that a stand-in can take its place. */
  empty?: string;
}

const PG_CRON: Extension = {
  name: "pg_cron",
  // It serves one database, and only where it was loaded at the start of the server.
  usable: `current_setting('shared_preload_libraries') ~ '\\mpg_cron\\M'
    and current_setting('cron.database_name', true) = current_database()`,
  createReal: "create extension pg_cron with schema pg_catalog",
  standIn: "pg_cron.sql",
  grants: "pg_cron_grants.sql",
};
const PG_NET: Extension = {
  name: "pg_net",
  usable: `current_setting('shared_preload_libraries') ~ '\\mpg_net\\M'`,
  createReal: "create extension pg_net with schema extensions",
  standIn: "pg_net.sql",
};
const VAULT: Extension = {
  name: "supabase_vault",
  usable: "true",
  createReal: "create extension supabase_vault cascade",
  standIn: "vault.sql",
  grants: "vault_grants.sql",
  // Without its library preloaded it has no key, and one made before may have no grants.
  probe: "vault_probe.sql",
  empty: "not exists (select from vault.secrets)",
};

/** The comment by which a stand-in is known. */
const STAND_IN = "a stand-in of the local stack";

/**
 * Makes the roles and prepares the database that `admin` is connected to. Safe to call again. `admin` must
 * be a superuser. Throws when it is not.
 */
export async function bootstrapDatabase(
  admin: Sql,
  options: BootstrapOptions = {},
): Promise<StandIns> {
  const [me] = await admin`
    select current_user as name, rolsuper as superuser from pg_roles where rolname = current_user`;
  if (!me?.superuser) {
    throw new Error(
      `Cannot prepare this server as ${me?.name}: installing roles and extensions needs a superuser`,
    );
  }
  await runFile(admin, "roles.sql");
  if (options.password !== undefined) {
    const password = quoteLiteral(options.password);
    await admin.unsafe(
      `alter role postgres password ${password}; alter role authenticator password ${password}`,
    );
  }
  const [database] = await admin`
    select quote_ident(datname) as name, pg_get_userbyid(datdba) = current_user as ours
    from pg_database where datname = current_database()`;
  await admin.unsafe(
    database!.ours
      ? `alter database ${database!.name} owner to postgres`
      : `grant create, connect, temporary on database ${database!.name} to postgres`,
  );
  await runFile(admin, "database.sql");
  if (options.closedDefaults) await runFile(admin, "closed_defaults.sql");
  return {
    pgCron: await install(admin, PG_CRON, options),
    pgNet: await install(admin, PG_NET, options),
    vault: await install(admin, VAULT, options),
  };
}

/**
 * A login that is the role `postgres` from its first moment and can become no more than that, for a server
 * whose roles keep their passwords. Returns its name: one for each database. Safe to call again.
 */
export async function makeLogin(admin: Sql, password: string): Promise<string> {
  const [login] = await admin<{ name: string; quoted: string; exists: boolean }[]>`
    select name, quote_ident(name) as quoted, to_regrole(quote_ident(name)) is not null as exists
    from (select left('daybook_' || current_database(), 63) as name) as login`;
  const { name, quoted, exists } = login!;
  if (!exists) await admin.unsafe(`create role ${quoted}`);
  await admin.unsafe(`alter role ${quoted} login password ${quoteLiteral(password)}`);
  await admin.unsafe(`grant postgres to ${quoted}`);
  await admin.unsafe(`alter role ${quoted} set role = postgres`);
  return name;
}

/** Installs the real extension, or its stand-in where that cannot be used; true when it is the stand-in. */
async function install(
  admin: Sql,
  extension: Extension,
  { realExtensions = true, onProgress = () => {} }: BootstrapOptions,
): Promise<boolean> {
  const [installed] = await admin`
    select obj_description(oid, 'pg_extension') as comment
    from pg_extension where extname = ${extension.name}`;
  if (installed?.comment === STAND_IN) return true;
  const [available] = await admin`
    select from pg_available_extensions
    where name = ${extension.name} and ${admin.unsafe(extension.usable)}`;
  return await admin.begin(async (transaction) => {
    const sql = transaction as unknown as Sql;
    if (installed || available && realExtensions) {
      const problem = await tryReal(transaction, extension, installed !== undefined);
      if (problem === undefined) return false;
      onProgress(
        `Using a stand-in of ${extension.name}: the server has it, but is not prepared for it ` +
          `(${problem})`,
      );
      if (installed) await removeReal(sql, extension, problem);
    }
    await runFile(sql, "register_stand_in.sql", extension.standIn);
    await sql.unsafe(`comment on extension ${extension.name} is '${STAND_IN}'`);
    if (extension.grants) await runFile(sql, extension.grants);
    return true;
  });
}

/** Creates the real extension unless it is installed, and tries it. Gives what is wrong with it, if anything. */
async function tryReal(
  transaction: TransactionSql,
  extension: Extension,
  installed: boolean,
): Promise<string | undefined> {
  try {
    await transaction.savepoint(async (savepoint) => {
      const sql = savepoint as unknown as Sql;
      if (!installed) {
        await sql.unsafe(extension.createReal);
        if (extension.grants) await runFile(sql, extension.grants);
      }
      if (extension.probe) await runFile(sql, extension.probe);
    });
  } catch (error) {
    if (!extension.probe || !(error instanceof postgres.PostgresError)) throw error;
    return error.message;
  }
}

/** What somebody keeps in it is not thrown away. */
async function removeReal(sql: Sql, { name, empty }: Extension, problem: string) {
  const [state] = await sql`select ${sql.unsafe(empty ?? "false")} as empty`;
  if (!state!.empty) {
    throw new Error(
      `Cannot use ${name} of this server, nor replace it as it is in use: ${problem}`,
    );
  }
  await sql.unsafe(`drop extension ${name}`);
}

async function runFile(sql: Sql, ...files: string[]): Promise<void> {
  for (const file of files) {
    await sql.unsafe(await Deno.readTextFile(new URL(`sql/${file}`, import.meta.url)));
  }
}

/** An SQL string; for statements that take no parameters. */
export function quoteLiteral(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
