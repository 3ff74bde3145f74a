/** Daybook installed into a made-up project and its database, by the plans that the commands carry out. */
import type { Sql } from "postgres";
import { applyMigrations, type Migration } from "../../local/migrations.ts";
import type { Plan } from "../../install/plan.ts";
import { planInstall } from "../../install/plan-install.ts";
import { planUninstall } from "../../install/plan-uninstall.ts";
import type { Project } from "../../install/project.ts";
import { readSource, type Source } from "../../install/source.ts";
import { after, AT, project } from "./made-up-source.ts";

export interface Installation {
  /** Applies the migrations that the project has once the command of that name has written. */
  install(packs: string[], options?: { aside?: boolean }): Promise<void>;
  uninstall(packs: string[], options?: { dropLedger?: boolean }): Promise<void>;
  /** What `install` writes, not yet applied. */
  write(packs: string[], options?: { aside?: boolean }): void;
  /** Applies what is not yet applied, as `supabase db push` does. */
  push(sql?: Sql): Promise<void>;
}

let source: Promise<Source> | undefined;

/** A project with nothing in it, whose database is the one of `sql`. */
export async function installation(sql: Sql): Promise<Installation> {
  const daybook = await (source ??= readSource());
  let there: Project = project();
  const written = (plan: Plan) => {
    if (plan.conflicts.length > 0) throw new Error(plan.conflicts.join("\n"));
    return after(plan, there);
  };
  const push = async (project: Project, database = sql) =>
    void await applyMigrations(database, migrationsOf(project));
  const carryOut = async (plan: Plan) => {
    const project = written(plan);
    await push(project);
    there = project;
  };
  const planned = (packs: string[], { aside = false } = {}) =>
    planInstall(daybook, there, { packs, aside, names: [], at: AT });
  return {
    install: (packs, options) => carryOut(planned(packs, options)),
    uninstall: (packs, { dropLedger = false } = {}) =>
      carryOut(planUninstall(daybook, there, { packs, dropLedger, at: AT })),
    write: (packs, options) => void (there = written(planned(packs, options))),
    push: (database) => push(there, database),
  };
}

function migrationsOf({ files }: Project): Migration[] {
  return [...files].flatMap(([path, text]) => {
    const [, version, name] = /^supabase\/migrations\/(\d+)_(.+)\.sql$/.exec(path) ?? [];
    return version === undefined ? [] : [{ version, name: name!, text }];
  }).sort((a, b) => a.version < b.version ? -1 : 1);
}
