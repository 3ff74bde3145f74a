/** The files that a job begins with, here or in a project: decided by functions that write nothing. */
import { quoteLiteral } from "../local/bootstrap.ts";
import { listNames } from "../local/names.ts";
import { nextVersion, raiseVersion, VERSION_FILES } from "../local/raise-version.ts";
import { addFunctions, configuredFunctions } from "./config-toml.ts";
import type { Files } from "./files.ts";
import { rewriteImports } from "./imports.ts";
import { clashes, describe, emptyPlan, migrationWriter, type Plan } from "./plan.ts";
import { CONFIG, type Project } from "./project.ts";
import { reservedFault } from "./reserved-names.ts";
import { projectFiles, SHARED, type Source } from "./source.ts";
import type { FoundName } from "./sql-names.ts";

export interface JobOptions {
  /** The slug of its function. */
  name: string;
  /** Five fields, seconds or a name; null: it runs only when it is enqueued or called. */
  schedule: string | null;
  timeZone: string;
}

/** The files of a checkout of Daybook that a new job may change. */
export const CHANGED_HERE = [
  CONFIG,
  "supabase/packs.json",
  "supabase/schedules.json",
  "docs/operations.md",
  ...VERSION_FILES,
];

const TEMPLATES = [
  "job.ts",
  "index.ts",
  "schema.sql",
  "job.sql",
  "privileges.sql",
  "unit_test.ts",
  "database_test.ts",
  "project_database_test.ts",
] as const;
const templates = Object.fromEntries(
  await Promise.all(
    TEMPLATES.map(async (name) => [
      name,
      await Deno.readTextFile(new URL(`templates/${name}`, import.meta.url)),
    ]),
  ),
) as Record<typeof TEMPLATES[number], string>;

/** The fault in the options; null: none. */
export function optionsFault({ name, schedule, timeZone }: JobOptions): string | null {
  // A function of SQL is named like it, and an index after that.
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name) || name.length > 40) {
    return `the name must be at most 40 of a-z, 0-9 and single hyphens, the first a letter, got ${name}`;
  }
  const reserved = reservedFault(sqlNameOf(name));
  if (reserved !== null) return `the name must be another than ${name}: ${reserved}`;
  if (schedule !== null && !looksLikeSchedule(schedule.trim())) {
    return `--schedule must have five fields, like "30 2 * * *", or be like "30 seconds" or "@daily", got ${
      JSON.stringify(schedule)
    }`;
  }
  try {
    new Intl.DateTimeFormat("en", { timeZone });
  } catch {
    return `--time-zone must be an IANA name, like America/New_York, got ${timeZone}`;
  }
  return null;
}

/** Whether a text may be a schedule; the scheduler itself reads it. */
function looksLikeSchedule(text: string): boolean {
  return text.split(/\s+/).length === 5 || /^(@[a-z]+|\d+\s*seconds?)$/i.test(text);
}

/**
 * The plan for a job in this checkout: a pack of its own. `files` are those of CHANGED_HERE and what is there besides.
 * Where the version of the checkout is released, the job belongs to the next one.
 */
export function planJobHere(source: Source, files: Files, options: JobOptions): Plan {
  const { name } = options;
  const plan: Plan = { ...emptyPlan(), wayOut: WAY_OUT };
  if (source.packs.some((pack) => pack.name === name)) plan.conflicts.push(`pack ${name}`);
  const taken = source.migrations.flatMap(({ file, makes }) =>
    listNames(makes).map((name) => ({ ...name, where: file }))
  );
  const schema = { kind: "schema", name: sqlNameOf(name) };
  plan.conflicts.push(...clashes([schema, ...namesOf(name)], taken).map(describe));
  for (const [path, text] of filesHere(source, name)) {
    if (files.has(path)) plan.conflicts.push(`file ${path}`);
    plan.writes.set(path, text);
  }
  if (plan.conflicts.length > 0) return plan;
  for (const [path, text] of changesHere(source, files, options)) plan.writes.set(path, text);
  return plan;
}

/** What a person should know before a job is begun in this checkout; null: nothing. */
export function noticeHere({ version, isReleased }: Source): string | null {
  return isReleased
    ? `Daybook ${version} is released, so the job begins ${
      nextVersion(version)
    }; for a job of your own project give --into`
    : null;
}

/** The files that are new. */
function filesHere(source: Source, name: string): Files {
  const sqlName = sqlNameOf(name);
  const filled = (template: keyof typeof templates) => fill(templates[template], name);
  return new Map([
    [`supabase/functions/${name}/job.ts`, filled("job.ts")],
    [`supabase/functions/${name}/index.ts`, filled("index.ts")],
    [`supabase/functions/${name}/deno.json`, importsOfJobs(source)],
    [`supabase/sql/${name}/schema.sql`, filled("schema.sql")],
    [`supabase/sql/${name}/${sqlName}.sql`, filled("job.sql")],
    [`supabase/sql/${name}/privileges.sql`, filled("privileges.sql")],
    [`tests/unit/${name}/${sqlName}_test.ts`, filled("unit_test.ts")],
    [`tests/database/${name}/${sqlName}_test.ts`, filled("database_test.ts")],
  ]);
}

/** The files that are there, as they are with the job. */
function changesHere(
  { version, isReleased }: Source,
  files: Files,
  { name, schedule, timeZone }: JobOptions,
): Files {
  const read = (path: string) => {
    const text = files.get(path);
    if (text === undefined) throw new Error(`The checkout has no file ${path}`);
    return text;
  };
  const sqlName = sqlNameOf(name);
  const pack = {
    description: descriptionOf(name),
    needs: ["scheduler"],
    functions: [name],
    sql: ["schema", sqlName, "privileges"],
  };
  const job = {
    name,
    schedule,
    ...(timeZone === "UTC" ? {} : { time_zone: timeZone }),
    description: descriptionOf(name),
  };
  return new Map([
    [CONFIG, addFunctions(read(CONFIG), [name])],
    ["supabase/packs.json", withEntry(read("supabase/packs.json"), name, pack)],
    ["supabase/schedules.json", withEntry(read("supabase/schedules.json"), name, [job])],
    ["docs/operations.md", withRetention(read("docs/operations.md"), `${sqlName}_items`)],
    ...(isReleased ? raiseVersion(files, version, nextVersion(version)) : []),
  ]);
}

/** The runbook with a line more in its table of retentions. */
function withRetention(page: string, table: string): string {
  const place = page.indexOf("| `scheduler_runs` ");
  if (place < 0) throw new Error("docs/operations.md has no table of retentions any more");
  const row = `| \`${table}\` | \`retention.${table}_days\` | 90 | those that are done |\n`;
  return page.slice(0, place) + row + page.slice(place);
}

/** The plan for a job in a project that has Daybook. */
export function planJobInto(
  source: Source,
  project: Project,
  names: readonly FoundName[],
  options: JobOptions & { at: Date },
): Plan {
  const { name, schedule, timeZone, at } = options;
  if (project.manifest === null) {
    throw new Error("The project has no Daybook: run deno task install first");
  }
  const sqlName = sqlNameOf(name);
  const plan: Plan = { ...emptyPlan(), wayOut: WAY_OUT };
  const folder = `supabase/functions/${name}/`;
  if ([...project.files.keys()].some((path) => path.startsWith(folder))) {
    plan.conflicts.push(`edge function ${name} (${folder.slice(0, -1)})`);
  }
  const toml = project.files.get(CONFIG)!;
  if (configuredFunctions(toml).includes(name)) {
    plan.conflicts.push(`section [functions.${name}] (${CONFIG})`);
  }
  plan.conflicts.push(...clashes(namesOf(name), names).map(describe));
  const place = (path: string, template: string, from = path) => {
    if (!path.startsWith(folder) && project.files.has(path)) plan.conflicts.push(`file ${path}`);
    plan.writes.set(path, rewriteImports(from, fill(template, name), inProject(from, path)));
  };
  place(`${folder}job.ts`, templates["job.ts"]);
  place(`${folder}index.ts`, templates["index.ts"]);
  plan.writes.set(`${folder}deno.json`, importsOfJobs(source));
  place(
    `supabase/functions/tests/${name}_test.ts`,
    templates["unit_test.ts"],
    `tests/unit/${name}/${sqlName}_test.ts`,
  );
  place(
    `supabase/functions/tests/${name}_database_test.ts`,
    // No deno.json of a function lists what only a test needs.
    templates["project_database_test.ts"].replace('"postgres"', `"${source.imports.postgres}"`),
  );
  migrationWriter(plan, project, at)(
    sqlName,
    fill(templates["job.sql"], name) + registration(name, schedule, timeZone),
  );
  if (plan.conflicts.length === 0) plan.writes.set(CONFIG, addFunctions(toml, [name]));
  return plan;
}

const WAY_OUT = "Give the job another name, or remove what was begun of it before";

const sqlNameOf = (name: string) => name.replaceAll("-", "_");

const descriptionOf = (name: string) => `Does what is due in ${sqlNameOf(name)}_items`;

const fill = (template: string, name: string) =>
  template.replaceAll("my-job", name).replaceAll("my_job", sqlNameOf(name));

/** What the SQL of a job makes. */
const namesOf = (name: string) => [
  { kind: "function", name: sqlNameOf(name) },
  { kind: "table", name: `${sqlNameOf(name)}_items` },
  { kind: "job", name },
];

/** The imports that every job reaches, in the versions of this checkout. */
function importsOfJobs(source: Source): string {
  const path = "supabase/functions/system-health/deno.json";
  return projectFiles(source, source.packs).get(path)!;
}

/** Where a file of the checkout is in a project; the module itself goes to `path`. */
const inProject = (from: string, path: string) => (imported: string) =>
  imported === from ? path : imported.replace(/^shared\//, SHARED);

/** A JSON file with one more entry. */
function withEntry(json: string, key: string, value: unknown): string {
  return JSON.stringify({ ...JSON.parse(json), [key]: value }, null, 2) + "\n";
}

function registration(name: string, schedule: string | null, timeZone: string): string {
  return `
-- Registering again with other values changes the job.
select scheduler.register_job(
  name => ${quoteLiteral(name)},
  schedule => ${schedule === null ? "null" : quoteLiteral(schedule)},
  time_zone => ${quoteLiteral(timeZone)},
  description => ${quoteLiteral(descriptionOf(name))}
);
`;
}
