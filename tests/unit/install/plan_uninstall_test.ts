import assert from "node:assert/strict";
import { planUninstall } from "../../../install/plan-uninstall.ts";
import { CONFIG, MANIFEST } from "../../../install/project.ts";
import { after, AT, installed, madeUpSource, project } from "../../support/made-up-source.ts";

const options = { packs: [], dropLedger: false, at: AT };

Deno.test("uninstalling deletes what was written, and leaves the migrations and one more", () => {
  const there = installed(["parcels"], { "supabase/functions/hello/index.ts": "mine" });
  const plan = planUninstall(madeUpSource(), there, options);
  assert.deepEqual(plan.conflicts, []);
  const left = after(plan, there);
  assert.equal(left.manifest, null);
  assert.deepEqual([...left.files.keys()].sort(), [
    CONFIG,
    "supabase/functions/hello/index.ts",
    "supabase/migrations/20261201100000_daybook_scheduler_1_0_0.sql",
    "supabase/migrations/20261201100001_daybook_roads_1_0_0.sql",
    "supabase/migrations/20261201100002_daybook_parcels_1_0_0.sql",
    "supabase/migrations/20261201100003_daybook_remove_all.sql",
  ]);
  assert.equal(left.files.get(CONFIG)!.trimEnd(), project().files.get(CONFIG)!.trimEnd());
});

Deno.test("the migration takes the packs out in the opposite order, each by its names", () => {
  const plan = planUninstall(madeUpSource(), installed(["parcels"]), {
    ...options,
    dropLedger: true,
  });
  const text = plan.writes.get("supabase/migrations/20261201100003_daybook_remove_all.sql")!;
  assert.deepEqual(
    [...text.matchAll(/^-- The pack (.+)\.$|^drop table if exists (.+);$/gm)]
      .map(([, pack, tables]) => pack ?? tables),
    [
      ...["parcels", "public.parcels", "roads", "public.roads"],
      ...["scheduler", "public.scheduler_runs, public.scheduler_state"],
    ],
  );
});

Deno.test("one pack alone goes with the files that only it needed", () => {
  const there = installed(["parcels"]);
  const plan = planUninstall(madeUpSource(), there, { ...options, packs: ["parcels"] });
  assert.deepEqual(plan.removes, [
    "supabase/functions/_shared/daybook/post.ts",
    "supabase/functions/send-parcels/index.ts",
  ]);
  assert.deepEqual([...plan.writes.keys()], [
    CONFIG,
    "supabase/migrations/20261201100003_daybook_remove_parcels.sql",
    MANIFEST,
  ]);
  const { manifest } = after(plan, there);
  assert.deepEqual(manifest!.packs, ["scheduler", "roads"]);
  assert.deepEqual(Object.keys(manifest!.migrations), [
    "20200101000001_daybook_scheduler_1_0_0.sql",
    "20200101000002_daybook_roads_1_0_0.sql",
  ]);
});

Deno.test("a pack that another one needs stays, and so do all that a function of the owner's imports", () => {
  const there = installed(["parcels"], {
    "supabase/functions/mine/index.ts": 'import { post } from "../_shared/daybook/post.ts";\n',
  });
  assert.deepEqual(
    planUninstall(madeUpSource(), there, { ...options, packs: ["roads"] }).conflicts,
    ["pack parcels, which needs roads"],
  );
  assert.deepEqual(
    planUninstall(madeUpSource(), there, { ...options, packs: ["parcels", "roads"] }).conflicts,
    ["file supabase/functions/mine/index.ts, which imports supabase/functions/_shared/daybook/post.ts"],
  );
});

Deno.test("a file that its owner has changed stays, with the section of its function", () => {
  const there = installed(["parcels"]);
  there.files.set("supabase/functions/health/index.ts", "mine");
  const plan = planUninstall(madeUpSource(), there, options);
  assert.deepEqual(plan.kept, [{ path: "supabase/functions/health/index.ts", difference: "" }]);
  const config = plan.writes.get(CONFIG)!;
  assert.match(config, /functions\.health/);
  assert.doesNotMatch(config, /send-parcels/);
});

Deno.test("the ledger stays unless it is to be dropped, and what was moved aside comes back", () => {
  const textOf = (there: ReturnType<typeof installed>, dropLedger: boolean) =>
    [...planUninstall(madeUpSource(), there, { ...options, dropLedger }).writes]
      .find(([path]) => path.endsWith("_daybook_remove_all.sql"))![1];
  const there = installed();
  assert.doesNotMatch(textOf(there, false), /drop table/);
  assert.match(
    textOf(there, true),
    /drop table if exists public\.scheduler_runs, public\.scheduler_state;/,
  );
  assert.doesNotMatch(textOf(there, true), /before_daybook/);
  there.manifest!.moved_aside = true;
  assert.match(textOf(there, true), /before_daybook/);
});

Deno.test("planUninstall() refuses where there is nothing of that name, no Daybook, or another version", () => {
  const plan = (there = installed(), packs: string[] = []) =>
    planUninstall(madeUpSource(), there, { ...options, packs });
  assert.throws(() => plan(project()), /The project has no Daybook/);
  assert.throws(() => plan(installed(), ["parcels"]), /no pack parcels; it has: scheduler/);
  const older = installed();
  older.manifest!.version = "0.9.0";
  assert.throws(() => plan(older), /has Daybook 0\.9\.0, this is 1\.0\.0/);
});
