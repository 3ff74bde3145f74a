/** What the commands that change a project share: they say the plan, and then do it. */
import { env } from "node:process";
import postgres, { type Sql } from "postgres";
import { readNames } from "../local/names.ts";
import { typedPath } from "../local/typed-path.ts";
import type { Plan } from "./plan.ts";
import { type Project, readProject } from "./project.ts";
import { readSource, type Source } from "./source.ts";
import { type FoundName, namesAfter } from "./sql-names.ts";
import { carryOut, describePlan, refusalOf } from "./write.ts";

export interface Task {
  /** The folder of the project, as it was typed. */
  folder: string;
  /** Say the plan and do nothing. */
  dryRun: boolean;
  /** Where to look for names; without it the project's migrations are read. */
  databaseUrl?: string | undefined;
  /** `names`: what is there already; `applied`: the migrations that the database has, where it was looked into. */
  decide(source: Source, project: Project, names: FoundName[], applied?: string[]): Plan;
  /** What a person does next. */
  next(plan: Plan, project: Project): string[];
}

/** Runs a command. Ends the process: with 1 when it is refused. */
export async function runTask(task: Task): Promise<never> {
  try {
    await planAndWrite(task);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
  Deno.exit(0);
}

async function planAndWrite({ folder, dryRun, databaseUrl, decide, next }: Task): Promise<void> {
  const path = typedPath(folder, (name) => env[name]);
  const project = await readProject(path);
  const source = await readSource();
  const { names, applied } = await lookInto(project, databaseUrl);
  const plan = decide(source, project, names, applied);
  if (!source.isReleased) {
    console.log(
      `${source.version} is not released: its migrations may still change, so try it with data you can lose\n`,
    );
  }
  for (const line of describePlan(plan, project)) console.log(line);
  if (plan.conflicts.length > 0) throw new Error(refusalOf(plan));
  if (plan.writes.size === 0 && plan.removes.length === 0) {
    return console.log("Nothing is to be done");
  }
  if (dryRun) return console.log("\nThis was a dry run: nothing was written");
  await carryOut(plan, path);
  console.log(
    ["", "Done. What comes next:", ...next(plan, project).map((line) => `  ${line}`)].join("\n"),
  );
}

/** What has a name in the project already, Daybook's own migrations left out, or in its database. */
async function lookInto(
  project: Project,
  databaseUrl: string | undefined,
): Promise<{ names: FoundName[]; applied?: string[] }> {
  if (databaseUrl === undefined) return { names: await namesAfter(foreignMigrations(project)) };
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    const names = (await readNames(sql)).map((name) => ({ ...name, where: "in the database" }));
    return { names, applied: await readApplied(sql) };
  } finally {
    await sql.end();
  }
}

/** The versions of the migrations that the database has, as the CLI keeps them. */
export async function readApplied(sql: Sql): Promise<string[]> {
  const [row] = await sql`
    select to_regclass('supabase_migrations.schema_migrations') is not null as there`;
  if (!row!.there) return [];
  return (await sql<{ version: string }[]>`
    select version from supabase_migrations.schema_migrations`).map(({ version }) => version);
}

/** The project's migrations that are not Daybook's, in their order. */
export function foreignMigrations({ files, manifest }: Project): { file: string; text: string }[] {
  const ours = Object.values(manifest?.migrations ?? {});
  return [...files].flatMap(([path, text]) => {
    const file = /^supabase\/migrations\/(\d+_.+\.sql)$/.exec(path)?.[1];
    return file === undefined || ours.includes(file) ? [] : [{ file, text }];
  }).sort((a, b) => a.file < b.file ? -1 : 1);
}
