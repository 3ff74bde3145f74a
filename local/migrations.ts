/**
 * Applies supabase/migrations as the Supabase CLI does, and keeps the same record, so that either may go on
 * where the other left off.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";

/** The project's own migrations. */
export const MIGRATIONS_DIRECTORY = fileURLToPath(
  new URL("../supabase/migrations", import.meta.url),
);
/** The project's own seed. */
export const SEED_FILE = fileURLToPath(new URL("../supabase/seed.sql", import.meta.url));

export interface Migration {
  version: string;
  name: string;
  text: string;
}

/** The migrations of a directory, in the order of their versions. Throws on a name it cannot read. */
export async function readMigrations(directory = MIGRATIONS_DIRECTORY): Promise<Migration[]> {
  const migrations: Migration[] = [];
  for await (const entry of Deno.readDir(directory)) {
    if (!entry.name.endsWith(".sql")) continue;
    const parts = /^(\d{14})_(.+)\.sql$/.exec(entry.name);
    if (!parts) {
      throw new Error(
        `Cannot read migration ${entry.name}: its name must be <14 digits>_<name>.sql`,
      );
    }
    const text = await Deno.readTextFile(join(directory, entry.name));
    migrations.push({ version: parts[1]!, name: parts[2]!, text });
  }
  return migrations.sort((a, b) => a.version < b.version ? -1 : 1);
}

/**
 * Applies what is not yet applied, each migration in a transaction of its own. `sql` is connected as the
 * role `postgres`. Returns the names of those applied now. Throws when one that was applied has been
 * changed since, and when one fails.
 */
export async function applyMigrations(
  sql: Sql,
  migrations: Migration[],
  onProgress: (message: string) => void = () => {},
): Promise<string[]> {
  await sql.unsafe(RECORD);
  const applied = new Map(
    (await sql<{ version: string; statements: string[] | null }[]>`
      select version, statements from supabase_migrations.schema_migrations
    `).map(({ version, statements }) => [version, statements]),
  );
  const pending = [];
  for (const migration of migrations) {
    const statements = applied.get(migration.version);
    if (statements === undefined) {
      pending.push(migration);
    } else if (statements !== null && essence(statements.join("")) !== essence(migration.text)) {
      throw new Error(
        `Cannot go on with this database: migration ${migration.version}_${migration.name} has been ` +
          "changed since it was applied; start with --fresh to throw the data away",
      );
    }
  }
  for (const [index, migration] of pending.entries()) {
    const file = `${migration.version}_${migration.name}`;
    onProgress(`Applying migration ${index + 1} of ${pending.length}: ${migration.name}`);
    await sql.begin(async (transaction) => {
      await transaction.unsafe(migration.text);
      await transaction`
        insert into supabase_migrations.schema_migrations (version, name, statements)
        values (${migration.version}, ${migration.name}, ${[migration.text]})`;
    }).catch((cause) => {
      throw new Error(`Cannot apply migration ${file}: ${describe(cause, migration.text)}`, {
        cause,
      });
    });
  }
  return pending.map(({ version, name }) => `${version}_${name}`);
}

/** Loads the seed if this database never had it; true when it did so now. */
export async function loadSeed(sql: Sql, file = SEED_FILE): Promise<boolean> {
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  await sql.unsafe(RECORD);
  const path = "supabase/seed.sql";
  const loaded = await sql`select from supabase_migrations.seed_files where path = ${path}`;
  if (loaded.length > 0) return false;
  await sql.begin(async (transaction) => {
    await transaction.unsafe(text);
    await transaction`
      insert into supabase_migrations.seed_files (path, hash)
      values (${path}, ${createHash("sha256").update(text).digest("hex")})`;
  }).catch((cause) => {
    throw new Error(`Cannot load ${path}: ${describe(cause, text)}`, { cause });
  });
  return true;
}

const RECORD = `
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
create table if not exists supabase_migrations.seed_files (path text not null primary key, hash text not null);
`;

/** The CLI keeps a migration cut into statements; this is what both ways of keeping it share. */
function essence(text: string): string {
  return text.replace(/[\s;]+/g, "");
}

/** What Postgres said, with the line of the file it means. */
function describe(error: unknown, text: string): string {
  if (!(error instanceof Error)) return String(error);
  const { position, detail, where } = error as Error & Record<string, string | undefined>;
  const line = position === undefined
    ? ""
    : ` (line ${text.slice(0, Number(position)).split("\n").length})`;
  return [error.message + line, detail, where?.split("\n")[0]].filter(Boolean).join("; ");
}
