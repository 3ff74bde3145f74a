import assert from "node:assert/strict";
import { nextAfterUninstall, planUninstall } from "../../../install/plan-uninstall.ts";
import { nextAfterInstall, planInstall } from "../../../install/plan-install.ts";
import { planUpgrade } from "../../../install/plan-upgrade.ts";
import { CONFIG, MANIFEST, SCHEDULES } from "../../../install/project.ts";
import {
  after,
  AT,
  installed,
  madeUpSource,
  nextSource,
  project,
} from "../../support/made-up-source.ts";

const CORE = "20200101000001_daybook_scheduler_1_0_0.sql";
const ROADS = "20200101000002_daybook_roads_1_0_0.sql";
const options = { packs: [], dropLedger: false, at: AT };

Deno.test("uninstalling deletes what was written, and leaves the migrations and one more", () => {
  const there = installed(["parcels"], { "supabase/functions/hello/index.ts": "mine" });
  const plan = planUninstall(madeUpSource(), there, { ...options, dropLedger: true });
  assert.deepEqual(plan.conflicts, []);
  const left = after(plan, there);
  assert.equal(left.manifest, null);
  assert.deepEqual([...left.files.keys()].sort(), [
    CONFIG,
    "supabase/functions/hello/index.ts",
    "supabase/migrations/20261201100000_daybook_scheduler_1_0_0.sql",
    "supabase/migrations/20261201100003_daybook_roads_1_0_0.sql",
    "supabase/migrations/20261201100006_daybook_parcels_1_0_0.sql",
    "supabase/migrations/20261201100009_daybook_remove_all.sql",
  ]);
  assert.equal(left.files.get(CONFIG)!.trimEnd(), project().files.get(CONFIG)!.trimEnd());
});

Deno.test("the migration takes the packs out in the opposite order, each by its names", () => {
  const plan = planUninstall(madeUpSource(), installed(["parcels"]), {
    ...options,
    dropLedger: true,
  });
  const text = plan.writes.get("supabase/migrations/20261201100009_daybook_remove_all.sql")!;
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
    "supabase/migrations/20261201100009_daybook_remove_parcels.sql",
    SCHEDULES,
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

const HEALTH = "supabase/functions/health/";
const SHARED = "supabase/functions/_shared/daybook/";

/** What an owner may have done to the function health, and how the plan keeps its files. */
const TOUCHED: [string, Record<string, string>, "changed" | "needed"][] = [
  [
    "changed a file",
    { [`${HEALTH}index.ts`]: 'import { s } from "../_shared/daybook/job/serve-job.ts"; // mine\n' },
    "changed",
  ],
  ["added a file", { [`${HEALTH}mine.ts`]: "mine" }, "needed"],
];

for (const [what, files, why] of TOUCHED) {
  Deno.test(`a function of which its owner has ${what} stays whole, with its section and what it imports`, () => {
    const there = installed(["parcels"]);
    for (const [path, text] of Object.entries(files)) there.files.set(path, text);
    const plan = planUninstall(madeUpSource(), there, options);
    const needed = (path: string) => ({ path, difference: "", why: "needed" });
    assert.deepEqual(plan.kept.toSorted((a, b) => a.path < b.path ? -1 : 1), [
      needed(`${SHARED}errors.ts`),
      needed(`${SHARED}job/define-job.ts`),
      needed(`${SHARED}job/serve-job.ts`),
      needed(`${HEALTH}deno.json`),
      { ...needed(`${HEALTH}index.ts`), why },
    ]);
    const config = plan.writes.get(CONFIG)!;
    assert.match(config, /functions\.health/);
    assert.doesNotMatch(config, /send-parcels/);
    assert.deepEqual(plan.conflicts, []);
    assert.deepEqual(nextAfterUninstall(plan), [
      "supabase db push",
      "supabase functions delete send-parcels",
    ]);
  });
}

Deno.test("functions that go are named, and none where a pack has none", () => {
  const next = (packs: string[], there = installed(["parcels"])) =>
    nextAfterUninstall(planUninstall(madeUpSource(), there, { ...options, packs }));
  assert.deepEqual(next([]), [
    "supabase db push",
    "supabase functions delete health",
    "supabase functions delete send-parcels",
  ]);
  assert.deepEqual(next(["roads"], installed(["roads"])), ["supabase db push"]);
});

Deno.test("a ledger that stayed is remembered, and can be dropped later; until then it is no Daybook", () => {
  const there = installed();
  there.manifest!.moved_aside = [CORE];
  const plan = planUninstall(madeUpSource(), there, options);
  assert.equal(plan.notes.length, 1);
  assert.match(
    plan.notes[0]!,
    /^stay {4}scheduler_runs_before_daybook, scheduler_state_before_daybook \(.*--drop-ledger/,
  );
  const left = after(plan, there);
  assert.equal(left.manifest, null);
  assert.deepEqual(left.ledger, {
    version: "1.0.0",
    packs: [],
    files: {},
    migrations: {},
    moved_aside: [CORE],
    schedules: {},
  });
  assert.throws(() => planUninstall(madeUpSource(), left, options), /Only the ledger is left/);
  assert.throws(() => planUpgrade(nextSource(), left, { names: [], at: AT }), /has no Daybook/);
  const install = (aside: boolean) =>
    planInstall(nextSource(), left, { names: [], at: AT, packs: ["scheduler"], aside });
  assert.throws(() => install(true), /run deno task uninstall --drop-ledger first/);
  assert.deepEqual(nextAfterInstall(install(false), left), [
    "supabase functions deploy",
    "supabase db push",
  ]);

  const dropped = planUninstall(nextSource(), left, { ...options, dropLedger: true });
  const [[path, text]] = [...dropped.writes] as [[string, string]];
  assert.match(path, /_daybook_remove_ledger\.sql$/);
  assert.match(text, /^drop table if exists public\.scheduler_activity, .*;$/m);
  assert.match(text, /'try_mark_daily_run'/);
  assert.deepEqual(after(dropped, left), { files: after(dropped, left).files, manifest: null });
});

Deno.test("names that a pack that stays has are said, where another goes", () => {
  const there = installed(["parcels"]);
  const notes = () =>
    planUninstall(madeUpSource(), there, { ...options, packs: ["parcels"] }).notes;
  there.manifest!.moved_aside = [CORE];
  assert.deepEqual(notes(), []);
  there.manifest!.moved_aside.push("20200101000003_daybook_parcels_1_0_0.sql", ROADS);
  assert.equal(notes().length, 1);
  assert.match(
    notes()[0]!,
    /^stay {4}scheduler_runs_before_daybook, scheduler_state_before_daybook, roads_before_daybook \(/,
  );
});

Deno.test("nothing is said of names that stay where the ledger goes, or nothing was moved aside", () => {
  const notes = (moved_aside: string[], dropLedger: boolean) => {
    const there = installed(["roads"]);
    there.manifest!.moved_aside = moved_aside;
    return planUninstall(madeUpSource(), there, { ...options, dropLedger }).notes;
  };
  assert.deepEqual(notes([CORE], true), []);
  assert.deepEqual(notes([], false), []);
  assert.deepEqual(notes([ROADS], false), []);
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
  there.manifest!.moved_aside = [CORE];
  assert.match(textOf(there, true), /before_daybook/);
});

Deno.test("planUninstall() refuses where there is nothing of that name, no Daybook, or another version", () => {
  const plan = (there = installed(), packs: string[] = []) =>
    planUninstall(madeUpSource(), there, { ...options, packs });
  assert.throws(() => plan(project()), /The project has no Daybook/);
  assert.throws(() => plan(installed(), ["parcels"]), /no pack parcels; it has: scheduler/);
  const older = installed();
  older.manifest!.version = "0.9.0";
  assert.throws(
    () => plan(older),
    /has Daybook 0\.9\.0, this is 1\.0\.0: run deno task upgrade first, or use a checkout of 0\.9\.0$/,
  );
  older.manifest!.version = "1.0.1";
  assert.throws(() => plan(older), /this is 1\.0\.0: use a checkout of 1\.0\.1 or newer$/);
});
