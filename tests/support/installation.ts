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
  /** Applies the migrations of what the command of that name would write. */
  install(packs: string[], options?: { aside?: boolean }): Promise<void>;
  uninstall(packs: string[], options?: { dropLedger?: boolean }): Promise<void>;
}

let source: Promise<Source> | undefined;

/** A project with nothing in it, whose database is the one of `sql`. */
export async function installation(sql: Sql): Promise<Installation> {
  const daybook = await (source ??= readSource());
  let there: Project = project();
  const carryOut = async (plan: Plan) => {
    if (plan.conflicts.length > 0) throw new Error(plan.conflicts.join("\n"));
    await applyMigrations(sql, migrationsOf(plan));
    there = after(plan, there);
  };
  return {
    install: (packs, { aside = false } = {}) =>
      carryOut(planInstall(daybook, there, { packs, aside, names: [], at: AT })),
    uninstall: (packs, { dropLedger = false } = {}) =>
      carryOut(planUninstall(daybook, there, { packs, dropLedger, at: AT })),
  };
}

function migrationsOf({ writes }: Plan): Migration[] {
  return [...writes].flatMap(([path, text]) => {
    const [, version, name] = /^supabase\/migrations\/(\d+)_(.+)\.sql$/.exec(path) ?? [];
    return version === undefined ? [] : [{ version, name: name!, text }];
  });
}
