/** A small Daybook that never was, and projects for it, so that plans can be made of a few lines. */
import { planInstall } from "../../install/plan-install.ts";
import type { Plan } from "../../install/plan.ts";
import { CONFIG, MANIFEST, type Project, projectOf, SCHEMA } from "../../install/project.ts";
import type { Source, SourceMigration } from "../../install/source.ts";
import type { Pack } from "../../local/packs.ts";

export const AT = new Date("2026-12-01T10:00:00Z");

const pack = (name: string, needs: string[], functions: string[]): Pack => ({
  name,
  schema: name,
  description: "",
  needs,
  functions,
  alerts: false,
  sql: [],
});

const migration = (file: string, pack: string, makes: SourceMigration["makes"]) => ({
  file,
  pack,
  makes,
  text: `-- ${pack}\n`,
});

/** Version 1.0.0: the core, and the pack parcels which needs the pack roads. */
export function madeUpSource(): Source {
  return {
    version: "1.0.0",
    isReleased: true,
    packs: [
      pack("scheduler", [], ["health"]),
      pack("roads", ["scheduler"], []),
      pack("parcels", ["scheduler", "roads"], ["send-parcels"]),
    ],
    migrations: [
      migration("20200101000001_daybook_scheduler_1_0_0.sql", "scheduler", {
        schema: ["scheduler"],
        table: ["scheduler_runs", "scheduler_state"],
        function: ["try_mark_daily_run"],
        job: ["health"],
      }),
      migration("20200101000002_daybook_roads_1_0_0.sql", "roads", { table: ["roads"] }),
      migration("20200101000003_daybook_parcels_1_0_0.sql", "parcels", {
        table: ["parcels"],
        job: ["send-parcels"],
      }),
    ],
    imports: { postgres: "npm:postgres@1.2.3" },
    schedules: {
      scheduler: [{ name: "health", schedule: "20 * * * *", description: "how it is" }],
      roads: [],
      parcels: [{ name: "send-parcels", schedule: "0 9 * * *" }],
    },
    exports: ["shared/job/define-job.ts", "shared/job/serve-job.ts"],
    files: new Map([
      [SCHEMA, '{"title": "1.0.0"}\n'],
      ["shared/job/define-job.ts", 'import { e } from "../errors.ts";\n'],
      ["shared/errors.ts", "export const e = 1;\n"],
      ["shared/post.ts", "export const post = 1;\n"],
      ["shared/job/serve-job.ts", 'import type { D } from "./define-job.ts";\n'],
      ["shared/unused.ts", "export const unused = 1;\n"],
      [
        "supabase/functions/health/index.ts",
        'import { s } from "../../../shared/job/serve-job.ts";\n',
      ],
      ["supabase/functions/health/deno.json", "{}\n"],
      [
        "supabase/functions/send-parcels/index.ts",
        'import { post } from "../../../shared/post.ts";\n',
      ],
    ]),
  };
}

/** The version after it: a changed file, a new one, one that is gone, a migration, a function and a job more. */
export function nextSource(): Source {
  const source = madeUpSource();
  source.version = "1.1.0";
  source.packs[0]!.functions.push("prune");
  source.migrations.push(
    migration("20200601000001_daybook_scheduler_1_1_0.sql", "scheduler", {
      table: ["scheduler_audit"],
    }),
    migration("20200601000002_daybook_parcels_1_1_0.sql", "parcels", {}),
  );
  source.schedules.scheduler = [
    { name: "health", schedule: "21 * * * *", description: "how it is" },
    { name: "prune", schedule: "52 3 * * *" },
  ];
  source.files.set("shared/errors.ts", "export const e = 2;\n");
  source.files.set("supabase/functions/health/look.ts", "export const look = 1;\n");
  source.files.delete("supabase/functions/health/deno.json");
  source.files.set("supabase/functions/prune/index.ts", "export const prune = 1;\n");
  return source;
}

/** A project with these files besides its config.toml. */
export function project(files: Record<string, string> = {}): Project {
  return {
    files: new Map(Object.entries({ [CONFIG]: 'project_id = "p"\n', ...files })),
    manifest: null,
  };
}

/** The project as it is once a plan is carried out. */
export function after(plan: Plan, before: Project): Project {
  const files = new Map([...before.files, ...plan.writes]);
  for (const path of plan.removes) files.delete(path);
  files.delete(MANIFEST);
  const manifest = plan.writes.get(MANIFEST);
  if (manifest !== undefined) return projectOf(files, JSON.parse(manifest));
  return plan.removes.includes(MANIFEST) ? { files, manifest: null } : { ...before, files };
}

/** A project with these packs of the made-up source. */
export function installed(packs = ["scheduler"], files: Record<string, string> = {}): Project {
  const empty = project(files);
  return after(
    planInstall(madeUpSource(), empty, { names: [], at: AT, packs, aside: false }),
    empty,
  );
}
