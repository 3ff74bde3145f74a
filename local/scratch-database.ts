/** A database with all packs that lives as long as a function needs it. */
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { bootstrapDatabase } from "./bootstrap.ts";
import { applyPacks, readPacks } from "./packs.ts";
import { preparePostgres } from "./postgres.ts";

export interface ScratchDatabase {
  /** As the superuser `supabase_admin`. */
  adminUrl: string;
  /** As the role `postgres`. */
  url: string;
}

/**
 * Starts a Postgres of its own on a free port, applies the SQL of all packs, calls `fn`, and leaves nothing behind.
 *
 * @param options.prepare What to do instead of applying the packs, as the role `postgres`.
 * @param options.postgresBin Another Postgres than the one from npm; its real pg_cron is used if it has one.
 */
export async function withScratchDatabase<T>(
  fn: (database: ScratchDatabase) => Promise<T>,
  options: { postgresBin?: string | undefined; prepare?: (sql: Sql) => Promise<void> } = {},
): Promise<T> {
  const directory = await Deno.makeTempDir({ prefix: "daybook-scratch-" });
  // Postgres may run as another user than we do.
  await Deno.chmod(directory, 0o755);
  const password = crypto.randomUUID();
  const server = await preparePostgres({
    dataDirectory: join(directory, "data"),
    port: 0,
    adminPassword: password,
    postgresBin: options.postgresBin,
    settings: { fsync: "off" },
  });
  try {
    await server.start();
    const adminUrl = server.adminUrl();
    const url = new URL(adminUrl);
    url.username = "postgres";
    const admin = postgres(adminUrl, { max: 1, onnotice: () => {} });
    await bootstrapDatabase(admin, { password });
    await admin.end();
    const sql = postgres(url.href, { max: 1, onnotice: () => {} });
    await (options.prepare ?? ((sql) => readPacks().then((packs) => applyPacks(sql, packs))))(sql);
    await sql.end();
    return await fn({ adminUrl, url: url.href });
  } finally {
    await server.stop();
    await Deno.remove(directory, { recursive: true });
  }
}
