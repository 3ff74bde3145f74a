// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { compareCatalogues, readCatalogue } from "../../../local/catalogue.ts";
import { applyMigrations, readMigrations } from "../../../local/migrations.ts";
import { readReleases } from "../../../local/releases.ts";
import { withDatabase } from "../../support/database.ts";
import { assertGoesOn } from "../../support/upgrade.ts";

const folder = new URL("../../upgrade/", import.meta.url);
const dumps = [...Deno.readDirSync(folder)].map(({ name }) => name)
  .filter((name) => name.endsWith(".sql.gz")).sort();

Deno.test("each release has its dump", async () => {
  const released = (await readReleases()).filter(({ date }) => date !== null);
  for (const { version } of released) assert.ok(dumps.includes(`${version}.sql.gz`), version);
  assert.ok(dumps.length > 0);
});

for (const dump of dumps) {
  const version = dump.replace(".sql.gz", "");
  Deno.test(`a database of ${version} in mid-flight is upgraded, and all that was in flight goes on`, async () => {
    let wanted: string[] = [];
    await withDatabase(async ({ sql }) => void (wanted = await readCatalogue(sql)));
    await withDatabase(async ({ sql, admin }) => {
      const text = new TextDecoder().decode(gunzipSync(await Deno.readFile(new URL(dump, folder))));
      await admin.unsafe(text);
      await applyNewer(version, sql);
      const isOfJobs = (line: string) =>
        /^[-+] (row of (public.scheduler_jobs|scheduler.job_sources)|entry of pg_cron)/.test(line);
      const different = compareCatalogues(await readCatalogue(sql), wanted);
      assert.deepEqual(different.filter((line) => !isOfJobs(line)), []);
      await assertGoesOn(sql);
    }, { packs: "none" });
  });
}

/** The migrations of the releases after that one. */
async function applyNewer(version: string, sql: Parameters<typeof applyMigrations>[0]) {
  const releases = await readReleases();
  const at = releases.findIndex((release) => release.version === version);
  const newer = new Set(
    releases.slice(at + 1).flatMap(({ migrations }) => Object.keys(migrations)),
  );
  const migrations = await readMigrations();
  await applyMigrations(
    sql,
    migrations.filter((migration) => newer.has(`${migration.version}_${migration.name}.sql`)),
  );
}
