// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { compareCatalogues, readCatalogue } from "../../../local/catalogue.ts";
import { applyMigrations, readMigrations } from "../../../local/migrations.ts";
import { namesMade, readNames } from "../../../local/names.ts";
import { readReleases, readVersion, releaseFaults } from "../../../local/releases.ts";
import { withDatabase } from "../../support/database.ts";

Deno.test("all migrations in their order make the database that supabase/sql makes", async () => {
  let wanted: string[] = [];
  await withDatabase(async ({ sql }) => void (wanted = await readCatalogue(sql)), { packs: "all" });
  assert.ok(wanted.length > 1000);
  await withDatabase(async ({ sql }) => {
    await applyMigrations(sql, await readMigrations());
    assert.deepEqual(
      compareCatalogues(await readCatalogue(sql), wanted),
      [],
      "run deno task release",
    );
  }, { packs: "none" });
});

Deno.test("releases.json says of each migration whose it is and what it makes", () =>
  withDatabase(async ({ sql }) => {
    const made: Record<string, unknown> = {};
    let before = await readNames(sql);
    for (const migration of await readMigrations()) {
      await applyMigrations(sql, [migration]);
      const after = await readNames(sql);
      made[`${migration.version}_${migration.name}.sql`] = namesMade(before, after);
      before = after;
    }
    const said = (await readReleases()).flatMap(({ migrations }) => Object.entries(migrations));
    assert.deepEqual(made, Object.fromEntries(said.map(([file, { makes }]) => [file, makes])));
    for (const [file, { pack }] of said) {
      assert.ok(file.includes(`_daybook_${pack.replaceAll("-", "_")}_`), file);
    }
  }, { packs: "none" }));

Deno.test("each migration belongs to a release and is as it was released", async () => {
  assert.deepEqual(await releaseFaults(await readReleases()), []);
});

Deno.test("the database knows the version of deno.json, which is the newest release", async () => {
  await withDatabase(async ({ sql }) => {
    const [row] = await sql`select scheduler.version() as version`;
    const version = await readVersion();
    assert.equal(row!.version, version);
    assert.equal((await readReleases()).at(-1)!.version, version);
  });
});

Deno.test("two catalogues that differ are told apart, thing by thing", async () => {
  await withDatabase(async ({ sql }) => {
    const before = await readCatalogue(sql);
    for (
      const [change, told] of [
        ["comment on table scheduler_runs is 'other'", /comment table scheduler_runs/],
        [
          "alter table scheduler_runs alter column attempt drop default",
          /column scheduler_runs.attempt/,
        ],
        ["create index on scheduler_runs (attempt)", /index scheduler_runs_attempt_idx/],
        ["grant select on scheduler_runs to anon", /table scheduler_runs/],
        ["drop trigger count_left_out on scheduler_runs", /trigger scheduler_runs.count_left_out/],
        ["update scheduler.health_figures set critical = null", /row of scheduler.health_figures/],
        ["select cron.unschedule('scheduler-pulse')", /entry of pg_cron: scheduler-pulse/],
        [
          "create or replace function scheduler.version() returns text language sql immutable set search_path = '' as 'select null'",
          /function scheduler.version/,
        ],
      ] as const
    ) {
      await sql.begin(async (sql) => {
        await sql.unsafe(change);
        const differences = compareCatalogues(before, await readCatalogue(sql));
        assert.ok(differences.some((line) => told.test(line)), `${change}: ${differences}`);
        throw new Error("undo");
      }).catch((error) => assert.equal(error.message, "undo", error));
    }
    assert.deepEqual(compareCatalogues(before, await readCatalogue(sql)), []);
  });
});
