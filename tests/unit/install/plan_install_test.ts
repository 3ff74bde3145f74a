import assert from "node:assert/strict";
import { nextAfterInstall, planInstall } from "../../../install/plan-install.ts";
import { CONFIG, MANIFEST, SCHEDULES, SCHEMA } from "../../../install/project.ts";
import type { FoundName } from "../../../install/sql-names.ts";
import { after, AT, installed, madeUpSource, project } from "../../support/made-up-source.ts";

const CORE = "20200101000001_daybook_scheduler_1_0_0.sql";
const ROADS = "20200101000002_daybook_roads_1_0_0.sql";
const options = { names: [], at: AT, packs: ["scheduler"], aside: false };
const name = (kind: string, name: string, where = "1_mine.sql"): FoundName => ({
  kind,
  name,
  where,
});

Deno.test("the core alone brings its functions, what these and own jobs import, its migration and its sections", () => {
  const plan = planInstall(madeUpSource(), project(), options);
  assert.deepEqual([...plan.writes.keys()], [
    "supabase/functions/_shared/daybook/errors.ts",
    "supabase/functions/_shared/daybook/job/define-job.ts",
    "supabase/functions/_shared/daybook/job/serve-job.ts",
    "supabase/functions/health/deno.json",
    "supabase/functions/health/index.ts",
    SCHEMA,
    "supabase/migrations/20261201100000_daybook_scheduler_1_0_0.sql",
    CONFIG,
    SCHEDULES,
    MANIFEST,
  ]);
  assert.equal(
    plan.writes.get("supabase/functions/health/index.ts"),
    'import { s } from "../_shared/daybook/job/serve-job.ts";\n',
  );
  assert.match(
    plan.writes.get(CONFIG)!,
    /^project_id = "p"\n\n\[functions\.health\]\nverify_jwt = false/,
  );
  const manifest = JSON.parse(plan.writes.get(MANIFEST)!);
  assert.deepEqual([manifest.version, manifest.packs], ["1.0.0", ["scheduler"]]);
  assert.equal(Object.keys(manifest.files).length, 6);
  assert.deepEqual(manifest.migrations, {
    "20200101000001_daybook_scheduler_1_0_0.sql": "20261201100000_daybook_scheduler_1_0_0.sql",
  });
  assert.deepEqual([plan.conflicts, plan.removes, plan.kept], [[], [], []]);
});

Deno.test("a pack brings the packs that it needs, in order, and leaves installed ones as they are", () => {
  const plan = planInstall(madeUpSource(), installed(), { ...options, packs: ["parcels"] });
  assert.deepEqual([...plan.writes.keys()], [
    "supabase/functions/_shared/daybook/post.ts",
    "supabase/functions/send-parcels/index.ts",
    "supabase/migrations/20261201100003_daybook_roads_1_0_0.sql",
    "supabase/migrations/20261201100006_daybook_parcels_1_0_0.sql",
    CONFIG,
    SCHEDULES,
    MANIFEST,
  ]);
  assert.deepEqual(JSON.parse(plan.writes.get(MANIFEST)!).packs, ["scheduler", "roads", "parcels"]);
});

Deno.test("an owner's changes in an installed function are in no other pack's way", () => {
  const there = installed();
  there.files.set("supabase/functions/health/mine.ts", "mine");
  there.files.set("supabase/functions/health/index.ts", "mine");
  const plan = planInstall(madeUpSource(), there, { ...options, packs: ["parcels"] });
  assert.deepEqual(plan.conflicts, []);
  assert.equal(plan.writes.has("supabase/functions/health/index.ts"), false);
});

Deno.test("packs that are installed already are not planned again", () => {
  assert.equal(planInstall(madeUpSource(), installed(), options).writes.size, 0);
});

Deno.test("migrations are dated after the newest that there is, even one of the future", () => {
  const there = project({ "supabase/migrations/20301231235959_mine.sql": "select 1" });
  assert.deepEqual(
    [...planInstall(madeUpSource(), there, { ...options, packs: ["roads"] }).writes.keys()]
      .filter((path) => path.startsWith("supabase/migrations/")),
    [
      "supabase/migrations/20301231235962_daybook_scheduler_1_0_0.sql",
      "supabase/migrations/20301231235965_daybook_roads_1_0_0.sql",
    ],
  );
});

/** What a project has, and what the refusal names. */
const CONFLICTS: [string, Record<string, string>, FoundName[], string[]][] = [
  ["nothing of Daybook's names", { "supabase/functions/hello/index.ts": "" }, [
    name("table", "tasks"),
  ], []],
  ["a table", {}, [name("table", "scheduler_runs")], ["table scheduler_runs (1_mine.sql)"]],
  ["a view of a table's name", {}, [name("view", "scheduler_state")], [
    "view scheduler_state (1_mine.sql)",
  ]],
  ["a type of a table's name", {}, [name("type", "scheduler_runs")], [
    "type scheduler_runs (1_mine.sql)",
  ]],
  ["a function", {}, [name("function", "try_mark_daily_run")], [
    "function try_mark_daily_run (1_mine.sql)",
  ]],
  ["a function of a table's name", {}, [name("function", "scheduler_runs")], []],
  ["a schema", {}, [name("schema", "scheduler")], ["schema scheduler (1_mine.sql)"]],
  ["an entry of pg_cron", {}, [name("pg_cron entry", "health")], [
    "pg_cron entry health (1_mine.sql)",
  ]],
  ["a job and its entry", {}, [name("job", "health", ""), name("pg_cron entry", "health", "")], [
    "job health",
  ]],
  ["something of a pack that is not asked for", {}, [name("table", "parcels")], []],
  [
    "an edge function",
    { "supabase/functions/health/index.ts": "mine", "supabase/functions/health/more.ts": "mine" },
    [],
    ["edge function health (supabase/functions/health)"],
  ],
  [
    "another file in the folder of a function",
    { "supabase/functions/health/mine.ts": "mine" },
    [],
    ["edge function health (supabase/functions/health)"],
  ],
  [
    "a shared file",
    { "supabase/functions/_shared/daybook/errors.ts": "mine" },
    [],
    ["file supabase/functions/_shared/daybook/errors.ts"],
  ],
  [
    "a file that is Daybook's to the letter",
    { "supabase/functions/health/deno.json": "{}\n" },
    [],
    [],
  ],
  [
    "a section of config.toml",
    { [CONFIG]: "[functions.health]\nverify_jwt = true\n" },
    [],
    [`section [functions.health] (${CONFIG})`],
  ],
];

for (const [what, files, names, conflicts] of CONFLICTS) {
  Deno.test(`planInstall() with ${what} in the project: ${conflicts.length === 0 ? "goes" : "refuses"}`, () => {
    const plan = planInstall(madeUpSource(), project(files), { ...options, names });
    assert.deepEqual(plan.conflicts, conflicts);
    const movable = names.filter(({ kind }) => kind !== "job" && what !== "a job and its entry");
    assert.equal(plan.canMoveAside, movable.length > 0 && conflicts.length > 0);
  });
}

Deno.test("planInstall() names all that is in the way at once", () => {
  const there = project({ "supabase/functions/send-parcels/index.ts": "mine" });
  const names = [name("table", "parcels"), name("table", "roads"), name("table", "scheduler_runs")];
  const plan = planInstall(madeUpSource(), there, { ...options, packs: ["parcels"], names });
  assert.deepEqual(plan.conflicts, [
    "table parcels (1_mine.sql)",
    "table roads (1_mine.sql)",
    "table scheduler_runs (1_mine.sql)",
    "edge function send-parcels (supabase/functions/send-parcels)",
  ]);
});

Deno.test("--move-aside writes a migration before the packs and one after the core, and still refuses for files", () => {
  const names = [name("table", "scheduler_state")];
  const aside = { ...options, names, aside: true, packs: ["roads"] };
  const plan = planInstall(madeUpSource(), project(), aside);
  assert.deepEqual(plan.conflicts, []);
  assert.deepEqual(
    [...plan.writes.keys()].filter((path) => path.startsWith("supabase/migrations/")),
    [
      "supabase/migrations/20261201100000_daybook_move_aside.sql",
      "supabase/migrations/20261201100003_daybook_scheduler_1_0_0.sql",
      "supabase/migrations/20261201100006_daybook_take_over.sql",
      "supabase/migrations/20261201100009_daybook_roads_1_0_0.sql",
    ],
  );
  assert.deepEqual(JSON.parse(plan.writes.get(MANIFEST)!).moved_aside, [CORE, ROADS]);
  const files = project({ "supabase/functions/health/index.ts": "mine" });
  assert.deepEqual(planInstall(madeUpSource(), files, aside).conflicts, [
    "edge function health (supabase/functions/health)",
  ]);
});

Deno.test("--move-aside for a pack that is there writes the renaming right before its migration, once", () => {
  const aside = { ...options, packs: ["roads"], aside: true };
  const there = installed(["parcels"]);
  const plan = planInstall(madeUpSource(), there, aside);
  const path = "supabase/migrations/20261201100002_daybook_move_aside.sql";
  assert.deepEqual([...plan.writes.keys()], [path, MANIFEST]);
  assert.match(plan.writes.get(path)!, /v_relations constant text\[\] := array\['roads'\];/);
  assert.match(plan.writes.get(path)!, /v_before constant text := '20261201100003';/);
  const moved = after(plan, there);
  assert.deepEqual(moved.manifest!.moved_aside, [ROADS]);
  assert.equal(planInstall(madeUpSource(), moved, aside).writes.size, 0);
});

Deno.test("--move-aside for a core that is there takes its last day over, too, and finds a free date", () => {
  const there = installed();
  for (const stamp of ["20261201099999", "20261201100001"]) {
    there.files.set(`supabase/migrations/${stamp}_mine.sql`, "");
  }
  const plan = planInstall(madeUpSource(), there, { ...options, aside: true });
  assert.deepEqual([...plan.writes.keys()], [
    "supabase/migrations/20261201099998_daybook_move_aside.sql",
    "supabase/migrations/20261201100002_daybook_take_over.sql",
    MANIFEST,
  ]);
});

Deno.test("--move-aside leaves a pack alone that the database has, and one in whose way it has nothing", () => {
  const aside = { ...options, packs: ["scheduler", "roads"], aside: true };
  const names = [name("table", "scheduler_runs"), name("table", "roads")];
  const written = (applied: string[], there = names) =>
    [
      ...planInstall(madeUpSource(), installed(["roads"]), { ...aside, applied, names: there })
        .writes.keys(),
    ]
      .filter((path) => path.includes("_move_aside"));
  const before = (stamp: string) => `supabase/migrations/${stamp}_daybook_move_aside.sql`;
  assert.deepEqual(written([]), [before("20261201099999"), before("20261201100002")]);
  assert.deepEqual(written(["20261201100000"]), [before("20261201100002")]);
  assert.deepEqual(written(["20261201100000", "20261201100003"]), []);
  assert.deepEqual(written([], [name("table", "roads")]), [before("20261201100002")]);
});

Deno.test("--move-aside says each renaming, and warns where an app will miss the name", () => {
  const names = [
    name("table", "scheduler_state"),
    name("table", "roads", "20260101_mine.sql"),
    name("pg_cron entry", "send-parcels"),
  ];
  const aside = { ...options, names, packs: ["parcels"], aside: true };
  const said = [
    "rename  table roads (20260101_mine.sql) becomes roads_before_daybook",
    "rename  pg_cron entry send-parcels (1_mine.sql) becomes send-parcels_before_daybook and is off",
  ];
  const state = "rename  table scheduler_state (1_mine.sql) becomes scheduler_state_before_daybook";
  const warning = "warning: table roads: no scheduler's name. If your app uses it, it breaks: " +
    "the pack roads does not fit this project";
  const more =
    "rename  what only the database has of these packs' names, too: --db-url says what that is";
  const fresh = planInstall(madeUpSource(), project(), aside);
  assert.deepEqual(fresh.notes, [state, ...said, warning, more]);
  const looked = planInstall(madeUpSource(), project(), { ...aside, applied: [] });
  assert.deepEqual(looked.notes, [state, ...said, warning]);
  const late = { ...aside, applied: [], packs: ["roads"] };
  assert.deepEqual(planInstall(madeUpSource(), installed(["parcels"]), late).notes, [
    said[0],
    warning,
  ]);
  assert.deepEqual(planInstall(madeUpSource(), project(), { ...aside, aside: false }).notes, []);
});

Deno.test("--move-aside refuses for a job of the owner's, which a migration cannot rename", () => {
  const names = [name("job", "send-parcels"), name("pg_cron entry", "send-parcels")];
  const wanted = { ...options, names, packs: ["parcels"] };
  for (const aside of [true, false]) {
    const plan = planInstall(madeUpSource(), installed(), { ...wanted, aside });
    assert.deepEqual(plan.conflicts, ["job send-parcels (1_mine.sql)"]);
    assert.equal(plan.canMoveAside, false);
  }
});

Deno.test("the secrets come next with the core alone; deploying with functions", () => {
  const next = (there: Parameters<typeof planInstall>[1], packs: string[], aside = false) =>
    nextAfterInstall(planInstall(madeUpSource(), there, { ...options, packs, aside }), there);
  assert.match(
    next(project(), ["parcels"]).join("\n"),
    /CRON_SECRET.*\n.*deploy\n.*vault.*\n.*\n.*push/,
  );
  assert.deepEqual(next(installed(), ["parcels"]), [
    "supabase functions deploy",
    "supabase db push",
  ]);
  assert.deepEqual(next(installed(), ["roads"]), ["supabase db push"]);
  assert.deepEqual(next(installed(), ["scheduler"], true), ["supabase db push"]);
});

Deno.test("a file of Daybook's that is missing comes again with another pack", () => {
  const there = installed();
  const path = "supabase/functions/_shared/daybook/errors.ts";
  there.files.delete(path);
  const plan = planInstall(madeUpSource(), there, { ...options, packs: ["parcels"] });
  assert.equal(plan.writes.get(path), "export const e = 1;\n");
});

Deno.test("planInstall() refuses a pack that there is not, and a project with another version", () => {
  assert.throws(
    () => planInstall(madeUpSource(), project(), { ...options, packs: ["ships"] }),
    /There is no pack named ships; the packs are: scheduler, roads, parcels/,
  );
  assert.throws(
    () => planInstall({ ...madeUpSource(), version: "1.1.0" }, installed(), options),
    /The project has Daybook 1\.0\.0, this is 1\.1\.0: run deno task upgrade first, or use a checkout of 1\.0\.0/,
  );
  const newer = installed();
  newer.manifest!.version = "1.0.10";
  assert.throws(
    () => planInstall({ ...madeUpSource(), version: "1.0.9" }, newer, options),
    /The project has Daybook 1\.0\.10, this is 1\.0\.9: use a checkout of 1\.0\.10 or newer$/,
  );
});
