/** What the commands that change a project share: they say the plan, and then do it. */
import { resolve } from "node:path";
import { env } from "node:process";
import postgres from "postgres";
import { readNames } from "../local/names.ts";
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
  decide(source: Source, project: Project, names: FoundName[]): Plan;
  /** What a person does next. */
  next(plan: Plan): string[];
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
  // `deno task` and npx run elsewhere than where one typed.
  const path = resolve(env.INIT_CWD ?? ".", folder);
  const project = await readProject(path);
  const source = await readSource();
  const plan = decide(source, project, await namesIn(project, databaseUrl));
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
  console.log(["", "Done. What comes next:", ...next(plan).map((line) => `  ${line}`)].join("\n"));
}

/** What has a name in the project already, Daybook's own migrations left out. */
async function namesIn(project: Project, databaseUrl: string | undefined): Promise<FoundName[]> {
  if (databaseUrl === undefined) return await namesAfter(foreignMigrations(project));
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    return (await readNames(sql)).map((name) => ({ ...name, where: "in the database" }));
  } finally {
    await sql.end();
  }
}

/** The project's migrations that are not Daybook's, in their order. */
export function foreignMigrations({ files, manifest }: Project): { file: string; text: string }[] {
  const ours = Object.values(manifest?.migrations ?? {});
  return [...files].flatMap(([path, text]) => {
    const file = /^supabase\/migrations\/(\d+_.+\.sql)$/.exec(path)?.[1];
    return file === undefined || ours.includes(file) ? [] : [{ file, text }];
  }).sort((a, b) => a.file < b.file ? -1 : 1);
}
