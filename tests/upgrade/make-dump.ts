/**
 * `deno run -A tests/upgrade/make-dump.ts`: writes tests/upgrade/<version>.sql.gz, the dump of the version in deno.json in
 * mid-flight. Made once, when a version is released.
 */
import { gzipSync } from "node:zlib";
import postgres from "postgres";
import { dumpDatabase } from "../../local/dump.ts";
import { applyMigrations, readMigrations } from "../../local/migrations.ts";
import { readVersion } from "../../local/releases.ts";
import { withScratchDatabase } from "../../local/scratch-database.ts";
import { fillDatabase } from "../support/upgrade.ts";

const file = new URL(`${await readVersion()}.sql.gz`, import.meta.url);
const migrations = await readMigrations();
await withScratchDatabase(async ({ url, adminUrl }) => {
  const sql = postgres(url, { max: 2, onnotice: () => {} });
  const admin = postgres(adminUrl, { max: 1, onnotice: () => {} });
  await fillDatabase(sql);
  await Deno.writeFile(file, gzipSync(await dumpDatabase(admin, migrations)));
  await Promise.all([sql.end(), admin.end()]);
}, { prepare: async (sql) => void await applyMigrations(sql, migrations) });
console.log(`${file.pathname} is written`);
