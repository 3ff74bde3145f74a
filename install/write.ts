/** Carries a plan out, and says it. */
import { dirname, join } from "node:path";
import type { Plan } from "./plan.ts";
import { MANIFEST, type Project } from "./project.ts";

/** The plan in lines, for people. */
export function describePlan(plan: Plan, { files, manifest, ledger }: Project): string[] {
  const lines: string[] = [];
  for (const path of plan.writes.keys()) {
    const isThere = files.has(path) || path === MANIFEST && (manifest ?? ledger ?? null) !== null;
    lines.push(`${isThere ? "change" : "write "}  ${path}`);
  }
  for (const path of plan.removes) lines.push(`delete  ${path}`);
  for (const { path, difference, why } of plan.kept) {
    lines.push(`keep    ${path}: ${WHY[why]}`);
    if (difference !== "") lines.push(difference.trimEnd());
  }
  lines.push(...plan.notes);
  return lines;
}

const WHY = {
  changed: "you have changed it",
  needed: "it goes with what you have changed or added",
};

/** Writes and deletes what the plan says, in the folder of the project. Throws, and does nothing, when something is in the way. */
export async function carryOut(plan: Plan, folder: string): Promise<void> {
  if (plan.conflicts.length > 0) throw new Error(refusalOf(plan));
  for (const [path, text] of plan.writes) {
    await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
    await Deno.writeTextFile(join(folder, path), text);
  }
  for (const path of plan.removes) {
    await Deno.remove(join(folder, path));
    await removeEmpty(folder, dirname(path));
  }
}

/** The conflicts, each in a line. */
export function refusalOf({ conflicts, canMoveAside, wayOut }: Plan): string {
  return [
    "Nothing was written, because these are in the way:",
    ...conflicts.map((conflict) => `  ${conflict}`),
    ...(canMoveAside
      ? [
        "--move-aside renames what is in the database to <name>_before_daybook, by a migration that " +
        "uninstall --drop-ledger undoes; an app that uses the old names breaks",
      ]
      : []),
    ...(wayOut === undefined ? [] : [wayOut]),
  ].join("\n");
}

/** Folders that have nothing left in them go, up to those that every project has. */
async function removeEmpty(folder: string, path: string): Promise<void> {
  if (["supabase", "supabase/functions"].includes(path)) return;
  for await (const _ of Deno.readDir(join(folder, path))) return;
  await Deno.remove(join(folder, path));
  await removeEmpty(folder, dirname(path));
}
