import assert from "node:assert/strict";
import { planInstall } from "../../../install/plan-install.ts";
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

const LATER = new Date("2027-01-01T00:00:00Z");
const options = { names: [], at: LATER };
const ERRORS = "supabase/functions/_shared/daybook/errors.ts";

Deno.test("an upgrade replaces, adds and deletes files, and brings the migrations that are new", () => {
  const there = installed();
  const plan = planUpgrade(nextSource(), there, options);
  assert.deepEqual([...plan.writes], [
    [ERRORS, "export const e = 2;\n"],
    ["supabase/functions/health/look.ts", "export const look = 1;\n"],
    ["supabase/functions/prune/index.ts", "export const prune = 1;\n"],
    ["supabase/migrations/20270101000000_daybook_scheduler_1_1_0.sql", "-- scheduler\n"],
    [
      CONFIG,
      there.files.get(CONFIG)! +
      "\n[functions.prune]\nverify_jwt = false # Daybook: the handler checks who calls\n",
    ],
    [SCHEDULES, plan.writes.get(SCHEDULES)!],
    [MANIFEST, plan.writes.get(MANIFEST)!],
  ]);
  assert.deepEqual(plan.removes, ["supabase/functions/health/deno.json"]);
  assert.deepEqual([plan.kept, plan.conflicts], [[], []]);
});

Deno.test("after an upgrade the project is as if the new version had been installed", () => {
  const upgraded = after(
    planUpgrade(nextSource(), installed(["parcels"]), options),
    installed(["parcels"]),
  );
  const empty = project();
  const fresh = after(
    planInstall(nextSource(), empty, { names: [], at: AT, packs: ["parcels"], aside: false }),
    empty,
  );
  const ours = ({ files }: typeof fresh) =>
    [...files].filter(([path]) => path.startsWith("supabase/functions/")).sort();
  assert.deepEqual(ours(upgraded), ours(fresh));
  assert.deepEqual(
    { ...upgraded.manifest, migrations: Object.keys(upgraded.manifest!.migrations).sort() },
    { ...fresh.manifest, migrations: Object.keys(fresh.manifest!.migrations).sort() },
  );
  assert.equal(planUpgrade(nextSource(), upgraded, options).writes.size, 0);
});

Deno.test("a file that its owner has changed stays, and is named with how the new one differs", () => {
  const there = installed();
  there.files.set(ERRORS, "export const e = 'mine';\n");
  const plan = planUpgrade(nextSource(), there, options);
  assert.equal(plan.writes.has(ERRORS), false);
  assert.equal(plan.kept.length, 1);
  assert.equal(plan.kept[0]!.path, ERRORS);
  assert.match(plan.kept[0]!.difference, /^-export const e = 'mine';\n\+export const e = 2;$/m);
  // The next upgrade says it again only if Daybook's file has changed once more.
  const upgraded = after(plan, there);
  assert.deepEqual(planUpgrade(nextSource(), upgraded, options).kept, []);
});

Deno.test("files that their owner has changed and Daybook has not are kept without a message", () => {
  const there = installed();
  there.files.set("supabase/functions/health/index.ts", "mine");
  const plan = planUpgrade(nextSource(), there, options);
  assert.deepEqual([plan.kept, plan.notes], [[], []]);
  assert.equal(plan.writes.has("supabase/functions/health/index.ts"), false);
});

Deno.test("a file or a section of Daybook's that is missing is named and written again, of this version and the next", () => {
  const DEFINE = "supabase/functions/_shared/daybook/job/define-job.ts";
  for (const [source, text] of [[madeUpSource(), 1], [nextSource(), 2]] as const) {
    const there = installed();
    there.files.delete(ERRORS);
    there.files.delete(DEFINE);
    there.files.set(CONFIG, 'project_id = "p"\n');
    const plan = planUpgrade(source, there, options);
    assert.equal(plan.writes.get(ERRORS), `export const e = ${text};\n`);
    assert.equal(plan.writes.get(DEFINE), installed().files.get(DEFINE));
    assert.match(plan.writes.get(CONFIG)!, /^\[functions\.health\]$/m);
    assert.deepEqual(plan.notes, [
      `missing ${ERRORS}: it is written again`,
      `missing ${DEFINE}: it is written again`,
      `missing [functions.health] (${CONFIG}): it is written again`,
    ]);
    assert.deepEqual([plan.kept, plan.conflicts], [[], []]);
  }
});

Deno.test("a changed file that the new version does not have stays; so does one that was made as the new version's", () => {
  const there = installed();
  there.files.set("supabase/functions/health/deno.json", "mine");
  there.files.set(ERRORS, "export const e = 2;\n");
  const plan = planUpgrade(nextSource(), there, options);
  assert.deepEqual(plan.kept, [
    { path: "supabase/functions/health/deno.json", difference: "", why: "changed" },
  ]);
  assert.deepEqual([plan.removes, plan.writes.has(ERRORS)], [[], false]);
});

Deno.test("an owner's file under a name of the new version is in the way", () => {
  const there = installed(["scheduler"], {
    "supabase/functions/prune/index.ts": "mine",
    [CONFIG]: "[functions.prune]\nverify_jwt = true\n",
  });
  const names = [{ kind: "table", name: "scheduler_audit", where: "1_mine.sql" }];
  assert.deepEqual(planUpgrade(nextSource(), there, { names, at: LATER }).conflicts, [
    "file supabase/functions/prune/index.ts",
    "table scheduler_audit (1_mine.sql)",
    `section [functions.prune] (${CONFIG})`,
  ]);
});

Deno.test("planUpgrade() refuses a project without Daybook and one with a newer version", () => {
  assert.throws(() => planUpgrade(nextSource(), project(), options), /The project has no Daybook/);
  const there = installed();
  there.manifest!.version = "1.10.0";
  assert.throws(
    () => planUpgrade(nextSource(), there, options),
    /has Daybook 1\.10\.0, this is 1\.1\.0: use a checkout of 1\.10\.0 or newer$/,
  );
  assert.equal(planUpgrade(madeUpSource(), installed(), options).writes.size, 0);
});
