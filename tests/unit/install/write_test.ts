import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { readFiles } from "../../../install/files.ts";
import { planJobInto } from "../../../install/new-job.ts";
import type { Plan } from "../../../install/plan.ts";
import { planInstall } from "../../../install/plan-install.ts";
import { planUninstall } from "../../../install/plan-uninstall.ts";
import { planUpgrade } from "../../../install/plan-upgrade.ts";
import { type Project, readProject } from "../../../install/project.ts";
import { projectFiles, readSource, type Source } from "../../../install/source.ts";
import { carryOut, describePlan } from "../../../install/write.ts";
import { importedPaths } from "../../../install/imports.ts";
import { AT, madeUpSource, nextSource } from "../../support/made-up-source.ts";

const ERRORS = "supabase/functions/_shared/daybook/errors.ts";

async function withFolder(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "daybook-write-" });
  try {
    await fn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function write(folder: string, files: Iterable<[string, string]>): Promise<void> {
  for (const [path, text] of files) {
    await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
    await Deno.writeTextFile(join(folder, path), text);
  }
}

/** A made-up Daybook as a checkout on the disk; its address. */
async function checkoutOf(source: Source, folder: string): Promise<URL> {
  const { version, packs, migrations, files, exports, imports, schedules } = source;
  const entries = packs.map(({ name, schema: _, ...entry }) => [name, entry]);
  const released = migrations.map(({ file, pack, makes }) => [file, { pack, makes, hash: "" }]);
  const json = (value: unknown) => JSON.stringify(value);
  await write(folder, [
    [
      "deno.json",
      json({
        version,
        imports,
        exports: Object.fromEntries(exports.map((path) => [path, `./${path}`])),
      }),
    ],
    ["supabase/schedules.json", json(schedules)],
    ["supabase/packs.json", json(Object.fromEntries(entries))],
    [
      "supabase/releases.json",
      json([{ version, date: "2026-01-01", migrations: Object.fromEntries(released) }]),
    ],
    ...migrations.map(({ file, text }): [string, string] => [`supabase/migrations/${file}`, text]),
    ...files,
  ]);
  return pathToFileURL(`${folder}/`);
}

Deno.test("a project is installed, upgraded from another checkout and uninstalled, on the disk", () =>
  withFolder(async (folder) => {
    const first = await readSource(await checkoutOf(madeUpSource(), join(folder, "1.0.0")));
    const second = await readSource(await checkoutOf(nextSource(), join(folder, "1.1.0")));
    assert.deepEqual(first, madeUpSource());
    const home = join(folder, "project");
    const mine: [string, string][] = [
      ["supabase/config.toml", 'project_id = "mine"\n'],
      ["supabase/functions/hello/index.ts", "mine\n"],
      ["supabase/functions/hello/node_modules/x/index.js", "not read\n"],
    ];
    await write(home, mine);
    const before = await readFiles(home);
    const carry = async (decide: (project: Project) => Plan) => {
      const project = await readProject(home);
      const plan = decide(project);
      await carryOut(plan, home);
      return describePlan(plan, project);
    };

    const installed = await carry((project) =>
      planInstall(first, project, { packs: ["parcels"], names: [], at: AT, aside: false })
    );
    assert.ok(installed.includes(`write   ${ERRORS}`), installed.join("\n"));
    assert.ok(installed.includes("change  supabase/config.toml"));
    assert.equal((await readProject(home)).manifest!.version, "1.0.0");

    await write(home, [[ERRORS, "export const e = 'mine';\n"]]);
    const upgraded = await carry((project) => planUpgrade(second, project, { names: [], at: AT }));
    assert.ok(upgraded.includes(`keep    ${ERRORS}: you have changed it`), upgraded.join("\n"));
    assert.match(upgraded.join("\n"), /^\+export const e = 2;$/m);
    assert.ok(upgraded.includes("delete  supabase/functions/health/deno.json"));
    assert.equal((await readProject(home)).manifest!.version, "1.1.0");
    assert.equal(await Deno.readTextFile(join(home, ERRORS)), "export const e = 'mine';\n");

    await carry((project) =>
      planUninstall(second, project, { packs: [], dropLedger: true, at: AT })
    );
    const after = await readFiles(home);
    const isOurs = (path: string) => path === ERRORS || path.startsWith("supabase/migrations/");
    assert.deepEqual(
      [...after].filter(([path]) => !isOurs(path)).map(([path, text]) => [path, text.trimEnd()]),
      [...before].map(([path, text]) => [path, text.trimEnd()]),
    );
    assert.deepEqual(
      [...Deno.readDirSync(join(home, "supabase/functions"))].map(({ name }) => name).sort(),
      ["_shared", "hello"],
    );
  }));

Deno.test("nothing is written while something is in the way", () =>
  withFolder(async (folder) => {
    await write(folder, [["supabase/config.toml", ""], [
      "supabase/functions/health/index.ts",
      "mine",
    ]]);
    const before = await readFiles(folder);
    const plan = planInstall(madeUpSource(), await readProject(folder), {
      packs: ["scheduler"],
      names: [{ kind: "table", name: "scheduler_runs", where: "1_mine.sql" }],
      at: AT,
      aside: false,
    });
    await assert.rejects(carryOut(plan, folder), {
      message: `Nothing was written, because these are in the way:
  table scheduler_runs (1_mine.sql)
  edge function health (supabase/functions/health)
--move-aside renames what is in the database to <name>_before_daybook, by a migration that uninstall --drop-ledger undoes; an app that uses the old names breaks`,
    });
    assert.deepEqual(await readFiles(folder), before);
  }));

Deno.test("readProject() refuses a folder that is none, and a daybook.json that it cannot read", () =>
  withFolder(async (folder) => {
    await assert.rejects(readProject(folder), /is no project: it has no supabase\/config\.toml/);
    await write(folder, [["supabase/config.toml", ""], [
      "supabase/daybook.json",
      '{"version": 1}',
    ]]);
    await assert.rejects(readProject(folder), /Cannot read supabase\/daybook\.json: .*version/s);
  }));

Deno.test("a project with a ledger that stayed has no Daybook, for a new job as well", () =>
  withFolder(async (folder) => {
    await write(folder, [["supabase/config.toml", ""]]);
    const carry = async (decide: (project: Project) => Plan) => {
      const project = await readProject(folder);
      const plan = decide(project);
      await carryOut(plan, folder);
      return describePlan(plan, project);
    };
    const source = madeUpSource();
    await carry((project) =>
      planInstall(source, project, { packs: ["scheduler"], names: [], at: AT, aside: false })
    );
    const options = { packs: [], at: AT };
    await carry((project) => planUninstall(source, project, { ...options, dropLedger: false }));
    const left = await readProject(folder);
    assert.deepEqual([left.manifest, left.ledger!.packs], [null, []]);
    const job = { name: "mine", schedule: null, timeZone: "UTC", at: AT };
    assert.throws(() => planJobInto(source, left, [], job), /The project has no Daybook/);
    const said = await carry((project) =>
      planUninstall(source, project, { ...options, dropLedger: true })
    );
    assert.equal(said.at(-1), "delete  supabase/daybook.json");
    assert.equal((await readProject(folder)).ledger, undefined);
  }));

Deno.test("each pack alone brings every file that its functions import, and none that only others do", async () => {
  const source = await readSource();
  for (const pack of source.packs) {
    const files = projectFiles(source, [pack]);
    const reached = new Set<string>();
    for (const [path, text] of files) {
      assert.doesNotMatch(text, /"(\.\.\/)+shared\//, path);
      for (const imported of importedPaths(path, text)) {
        assert.ok(files.has(imported), `${path} imports ${imported}`);
        reached.add(imported);
      }
    }
    const roots = (path: string) =>
      !path.includes("/_shared/") || /\/(define|serve)-job\.ts$/.test(path);
    assert.deepEqual([...files.keys()].filter((path) => !roots(path) && !reached.has(path)), []);
  }
});
