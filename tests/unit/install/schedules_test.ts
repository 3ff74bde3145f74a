import assert from "node:assert/strict";
import { planInstall } from "../../../install/plan-install.ts";
import { planUninstall } from "../../../install/plan-uninstall.ts";
import { planUpgrade } from "../../../install/plan-upgrade.ts";
import { MANIFEST, type Project, SCHEDULES, SCHEMA } from "../../../install/project.ts";
import {
  after,
  AT,
  installed,
  madeUpSource,
  nextSource,
  project,
} from "../../support/made-up-source.ts";

const options = { names: [], at: AT };
const all = { packs: [], dropLedger: true, at: AT };

const FRESH = `{
  "$schema": "./schedules.schema.json",
  "scheduler": [
    {
      "name": "health",
      "schedule": "20 * * * *",
      "description": "how it is"
    }
  ]
}
`;

/** The project with its file changed. */
function edited(there: Project, edit: (text: string) => string): Project {
  const files = new Map(there.files);
  files.set(SCHEDULES, edit(files.get(SCHEDULES)!));
  return { ...there, files };
}

const textOf = ({ files }: Project) => files.get(SCHEDULES);
const jobsOf = (there: Project) =>
  Object.entries(JSON.parse(textOf(there)!)).filter(([section]) => section !== "$schema")
    .flatMap(([section, entries]) =>
      (entries as { name: string; schedule: string }[]).map(({ name, schedule }) =>
        `${section}/${name} ${schedule}`
      )
    );

const upgraded = (there: Project) => {
  const plan = planUpgrade(nextSource(), there, options);
  return { plan, left: after(plan, there) };
};
const uninstalled = (there: Project, packs: string[] = []) => {
  const plan = planUninstall(madeUpSource(), there, { ...all, packs });
  assert.deepEqual(plan.conflicts, []);
  return { plan, left: after(plan, there) };
};

Deno.test("an install writes the entries of its packs, and what editors know of them", () => {
  assert.equal(textOf(installed()), FRESH);
  assert.equal(installed().files.get(SCHEMA), '{"title": "1.0.0"}\n');
  assert.deepEqual(jobsOf(installed(["parcels"])), [
    "scheduler/health 20 * * * *",
    "parcels/send-parcels 0 9 * * *",
  ]);
});

Deno.test("a pack that comes later adds its entries to a file that its owner has changed, and leaves the rest", () => {
  const mine = FRESH.replace("20 * * * *", "40 * * * *")
    .replace('  "scheduler"', '  "mine": [{ "name": "mine",   "schedule": null }],\n  "scheduler"');
  const there = edited(installed(), () => mine);
  const plan = planInstall(madeUpSource(), there, { ...options, packs: ["parcels"], aside: false });
  assert.equal(
    plan.writes.get(SCHEDULES),
    mine.replace(
      "\n  ]\n}",
      `
  ],
  "parcels": [
    {
      "name": "send-parcels",
      "schedule": "0 9 * * *"
    }
  ]
}`,
    ),
  );
  assert.deepEqual(plan.kept, []);
});

Deno.test("an upgrade changes the entries that are as they were written, and adds new ones", () => {
  const { plan, left } = upgraded(installed());
  assert.deepEqual(jobsOf(left), ["scheduler/health 21 * * * *", "scheduler/prune 52 3 * * *"]);
  assert.deepEqual([plan.kept, plan.notes], [[], []]);
  assert.equal(planUpgrade(nextSource(), left, options).writes.size, 0);
});

Deno.test("an entry in another layout, or with its fields in another order, is as it was written", () => {
  const { left } = upgraded(
    edited(
      installed(),
      () => '{"scheduler":[{"description":"how it is","schedule":"20 * * * *","name":"health"}]}',
    ),
  );
  assert.deepEqual(jobsOf(left), ["scheduler/health 21 * * * *", "scheduler/prune 52 3 * * *"]);
});

Deno.test("an entry that its owner has changed stays, wherever it stands, and the difference is shown once", () => {
  for (
    const edit of [
      (text: string) => text.replace("20 * * * *", "40 * * * *"),
      (text: string) => text.replace("20 * * * *", "40 * * * *").replace('"scheduler"', '"mine"'),
    ]
  ) {
    const { plan, left } = upgraded(edited(installed(), edit));
    assert.match(jobsOf(left).join("\n"), /health 40 \* \* \* \*/);
    assert.equal(jobsOf(left).length, 2);
    const [kept, ...more] = plan.kept;
    assert.deepEqual(more, []);
    assert.equal(kept!.path, `${SCHEDULES} (health)`);
    assert.match(kept!.difference, /^-.*40 \* \* \* \*/m);
    assert.match(kept!.difference, /^\+.*21 \* \* \* \*/m);
    assert.deepEqual(planUpgrade(nextSource(), left, options).kept, []);
  }
});

Deno.test("an entry that its owner has taken out does not come back", () => {
  const { plan, left } = upgraded(
    edited(installed(), (text) => text.replace(/\{\s+"name"[^}]*\}/, "")),
  );
  assert.deepEqual(jobsOf(left), ["scheduler/prune 52 3 * * *"]);
  assert.deepEqual(plan.kept, []);
  const again = planUpgrade(nextSource(), left, options);
  assert.equal(again.writes.size, 0);
});

Deno.test("a file that is missing is named and written again, with all entries", () => {
  const there = installed();
  there.files.delete(SCHEDULES);
  const { plan, left } = upgraded(there);
  assert.deepEqual(plan.notes, [`missing ${SCHEDULES}: it is written again`]);
  assert.deepEqual(jobsOf(left), ["scheduler/health 21 * * * *", "scheduler/prune 52 3 * * *"]);
});

Deno.test("an entry that the new version does not have goes, unless its owner has changed it", () => {
  const next = nextSource();
  next.schedules.scheduler = next.schedules.scheduler!.slice(1);
  const goes = after(planUpgrade(next, installed(), options), installed());
  assert.deepEqual(jobsOf(goes), ["scheduler/prune 52 3 * * *"]);
  const there = edited(installed(), (text) => text.replace("20 * * * *", "40 * * * *"));
  const plan = planUpgrade(next, there, options);
  assert.deepEqual(jobsOf(after(plan, there)), [
    "scheduler/health 40 * * * *",
    "scheduler/prune 52 3 * * *",
  ]);
  assert.deepEqual(plan.kept.map(({ path }) => path), [`${SCHEDULES} (health)`]);
});

Deno.test("a project of a version without schedules.json gets one", () => {
  const there = installed(["parcels"]);
  there.files.delete(SCHEDULES);
  there.files.delete(SCHEMA);
  delete there.manifest!.files[SCHEMA];
  there.manifest!.schedules = {};
  const { plan, left } = upgraded(there);
  assert.deepEqual([plan.conflicts, plan.notes], [[], []]);
  assert.deepEqual(jobsOf(left), [
    "scheduler/health 21 * * * *",
    "scheduler/prune 52 3 * * *",
    "parcels/send-parcels 0 9 * * *",
  ]);
  assert.equal(left.files.has(SCHEMA), true);
});

Deno.test("a pack that goes takes its entries along, and those of its owner stay as they are", () => {
  const mine = '\n  ],\n  "mine": [{ "name": "mine",   "schedule": null }]\n}';
  const there = edited(installed(["parcels"]), (text) => text.replace("\n  ]\n}", mine));
  const { plan, left } = uninstalled(there, ["parcels"]);
  assert.equal(textOf(left), FRESH.replace("\n  ]\n}", mine));
  assert.deepEqual(plan.kept, []);
  assert.deepEqual(Object.keys(JSON.parse(plan.writes.get(MANIFEST)!).schedules), ["scheduler"]);
});

Deno.test("an entry of a pack that goes stays if its owner has changed it, and what that means is said", () => {
  const there = edited(
    installed(["parcels"]),
    (text) => text.replace("0 9 * * *", "0 10 * * *"),
  );
  const { plan, left } = uninstalled(there, ["parcels"]);
  assert.deepEqual(jobsOf(left), [
    "scheduler/health 20 * * * *",
    "parcels/send-parcels 0 10 * * *",
  ]);
  assert.deepEqual(plan.kept.map(({ path }) => path), [`${SCHEDULES} (send-parcels)`]);
  assert.match(plan.notes.join("\n"), /^warning: daybook apply would register send-parcels again/);
});

Deno.test("all of it goes with the file, unless there are entries of its owner in it", () => {
  const gone = uninstalled(installed(["parcels"])).left;
  assert.equal(gone.files.has(SCHEDULES), false);
  assert.equal(gone.files.has(SCHEMA), false);
  const { plan, left } = uninstalled(
    edited(installed(), (text) => text.replace("\n  ]\n}", '\n  ],\n  "mine": [{"name": "m"}]\n}')),
  );
  assert.equal(left.files.has(SCHEMA), false);
  assert.deepEqual(JSON.parse(textOf(left)!).mine, [{ name: "m" }]);
  assert.equal(JSON.parse(textOf(left)!).scheduler, undefined);
  assert.deepEqual(plan.notes, [`stay    ${SCHEDULES}: it has entries of yours`]);
  // What stayed is not in the way of an install.
  const again = planInstall(madeUpSource(), { ...left, manifest: null }, {
    ...options,
    packs: ["scheduler"],
    aside: false,
  });
  assert.deepEqual(again.conflicts, []);
  assert.deepEqual(Object.keys(JSON.parse(again.writes.get(SCHEDULES)!)).sort(), [
    "$schema",
    "mine",
    "scheduler",
  ]);
});

Deno.test("a file that is none of Daybook's, or no JSON, is in the way, and is named", () => {
  const cases: [string, RegExp][] = [
    ["{", /^Cannot read supabase\/schedules\.json:1: } is expected$/],
    ["[]", /^file supabase\/schedules\.json, which is none of Daybook's$/],
    ['{"crons": {"a": 1}}', /^file supabase\/schedules\.json, which is none of Daybook's$/],
    ['{"mine": [{"cron": "* * * * *"}]}', /none of Daybook's$/],
  ];
  for (const [text, message] of cases) {
    const foreign = project({ [SCHEDULES]: text });
    const plans = [
      planInstall(madeUpSource(), foreign, { ...options, packs: ["scheduler"], aside: false }),
      planUpgrade(nextSource(), edited(installed(), () => text), options),
      planUninstall(madeUpSource(), edited(installed(), () => text), all),
    ];
    for (const { conflicts } of plans) {
      assert.equal(conflicts.length, 1, text);
      assert.match(conflicts[0]!, message);
    }
  }
});

Deno.test("an entry that a new version moves to another pack stays, as it is or as its owner changed it", () => {
  const there = installed(["parcels"]);
  const moved = nextSource();
  moved.schedules = {
    ...moved.schedules,
    scheduler: [],
    parcels: [...moved.schedules.parcels!, ...moved.schedules.scheduler!],
  };
  for (
    const file of [
      there,
      edited(there, (text) => text.replace("20 * * * *", "40 * * * *")),
    ]
  ) {
    const plan = planUpgrade(moved, file, options);
    const left = after(plan, file);
    assert.ok(jobsOf(left).some((job) => job.includes("/health ")), jobsOf(left).join());
    // The version after that takes nothing out either.
    const again = after(planUpgrade(moved, left, options), left);
    assert.deepEqual(jobsOf(again), jobsOf(left));
  }
});
