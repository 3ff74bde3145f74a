import { listNames, type Name } from "../local/names.ts";
import { type Pack, withNeeds } from "../local/packs.ts";
import { hashOf } from "../local/hash.ts";
import type { Files } from "./files.ts";
import { canMove, moveAside, SUFFIX, takeOver } from "./migrations.ts";
import {
  assertVersion,
  clashes,
  configure,
  describe,
  emptyPlan,
  type Found,
  functionOf,
  functionsOf,
  migrationWriter,
  namesOf,
  type Plan,
  undated,
  versionOf,
  writeBeside,
  writeManifest,
} from "./plan.ts";
import type { Manifest, Project } from "./project.ts";
import { placeSchedules } from "./schedules.ts";
import { projectFiles, type Source, type SourceMigration } from "./source.ts";
import type { FoundName } from "./sql-names.ts";

export interface InstallOptions extends Found {
  packs: readonly string[];
  /** Rename what is in the way in the database. */
  aside: boolean;
  /** The versions of the migrations that the database has; absent: it was not looked into. */
  applied?: readonly string[] | undefined;
}

/**
 * The plan for bringing packs and what they need into a project. For packs that are there already, `aside` brings the
 * renaming alone. Throws for an unknown pack and another version.
 */
export function planInstall(source: Source, project: Project, options: InstallOptions): Plan {
  const { manifest, ledger } = project;
  if (manifest !== null) assertVersion(source, manifest);
  const movedBefore = (manifest ?? ledger)?.moved_aside ?? [];
  if (ledger !== undefined && options.aside && movedBefore.length > 0) {
    throw new Error(
      `What was moved aside before has its name <name>${SUFFIX} still: run deno task uninstall --drop-ledger first`,
    );
  }
  const plan = emptyPlan();
  const installed = manifest?.packs ?? [];
  const added = withNeeds(source.packs, options.packs)
    .filter((pack) => !installed.includes(pack.name));
  if (added.length === 0 && options.aside) return planMoveAside(source, project, options);
  if (added.length === 0) return plan;
  const all = source.packs.filter((pack) => installed.includes(pack.name) || added.includes(pack));
  const inTheWay = clashes(namesOf(source, added), options.names);
  if (options.aside) noteRenames(plan, source, inTheWay, options);
  else {
    plan.conflicts.push(...inTheWay.map(describe));
    plan.canMoveAside = inTheWay.some(canMove);
  }
  const files = placeFiles(plan, projectFiles(source, all), project, functionsOf(added));
  const migrations = placeMigrations(plan, source, project, added, options);
  configure(plan, project, functionsOf(added));
  const schedules = placeSchedules(plan, source, project, all);
  writeManifest(plan, project, {
    version: source.version,
    packs: all.map(({ name }) => name),
    files,
    migrations: { ...manifest?.migrations, ...migrations },
    schedules,
    moved_aside: [
      ...new Set([
        ...movedBefore,
        ...options.aside ? Object.keys(migrations) : [],
      ]),
    ],
  });
  return plan;
}

/**
 * The plan for moving aside what stopped a migration that is written already: each renaming is dated right before the
 * migration that needs it.
 */
function planMoveAside(source: Source, project: Project, options: InstallOptions): Plan {
  const plan = emptyPlan();
  const manifest = project.manifest!;
  const { names, applied } = options;
  const core = source.migrations.find(({ pack }) => pack === "scheduler");
  const moved: SourceMigration[] = [];
  const renamed: FoundName[] = [];
  for (const migration of source.migrations) {
    const { file, pack, makes } = migration;
    const here = manifest.migrations[file];
    if (!options.packs.includes(pack) || here === undefined) continue;
    if (manifest.moved_aside.includes(file) || applied?.includes(versionOf(here))) continue;
    const inTheWay = clashes(listNames(makes), names);
    // Migrations do not show all that a database has; the database does.
    if (listNames(makes).length === 0 || applied !== undefined && inTheWay.length === 0) continue;
    renamed.push(...inTheWay);
    writeBeside(plan, project, here, -1n, {
      name: "daybook_move_aside",
      text: moveAside(listNames(makes), versionOf(here)),
    });
    if (file === core?.file) {
      writeBeside(plan, project, here, 1n, { name: "daybook_take_over", text: takeOver() });
    }
    moved.push(migration);
  }
  if (moved.length > 0) noteRenames(plan, source, renamed, options);
  writeManifest(plan, project, {
    ...manifest,
    moved_aside: [...manifest.moved_aside, ...moved.map(({ file }) => file)],
  });
  return plan;
}

/** What schedulers that people made by hand have besides the core's names. */
const SCHEDULERS = ["app_settings", "batch_jobs", "eliza_activity_log", "resume_stuck_batch_job"];

/** Says each renaming, and which of them an app will miss. What cannot be renamed is in the way. */
function noteRenames(
  plan: Plan,
  source: Source,
  inTheWay: readonly FoundName[],
  { applied }: InstallOptions,
) {
  plan.conflicts.push(...inTheWay.filter((name) => !canMove(name)).map(describe));
  const renamed = inTheWay.filter(canMove);
  for (const name of renamed) {
    plan.notes.push(
      `rename  ${describe(name)} becomes ${name.name}${SUFFIX}` +
        (name.kind === "pg_cron entry" ? " and is off" : ""),
    );
  }
  for (const pack of source.packs) {
    const missed = pack.name === "scheduler" ? [] : clashes(namesOf(source, [pack]), renamed)
      .filter(({ kind, name }) => kind !== "pg_cron entry" && !SCHEDULERS.includes(name));
    if (missed.length === 0) continue;
    plan.notes.push(
      `warning: ${listOf(missed)}: no scheduler's name. If your app uses it, it breaks: ` +
        `the pack ${pack.name} does not fit this project`,
    );
  }
  if (applied === undefined) {
    plan.notes.push(
      "rename  what only the database has of these packs' names, too: --db-url says what that is",
    );
  }
}

const listOf = (names: readonly Name[]) =>
  names.map(({ kind, name }) => `${kind} ${name}`).join(", ");

/** What a person does once it is written. */
export function nextAfterInstall(plan: Plan, { manifest, ledger }: Project): string[] {
  const deploy = "supabase functions deploy";
  const push = "supabase db push";
  // An uninstall leaves the secrets where they are.
  if (manifest === null && ledger === undefined) {
    return [
      "supabase secrets set CRON_SECRET=…          (32 characters or more: openssl rand -hex 32)",
      deploy,
      "select vault.create_secret('https://<ref>.supabase.co', 'project_url');",
      "select vault.create_secret('<the same CRON_SECRET>', 'cron_secret');",
      `${push}                            (from here on jobs fire)`,
      "docs/installing.md of Daybook says more",
    ];
  }
  const hasFunctions = [...plan.writes.keys()].some((path) =>
    path.startsWith("supabase/functions/")
  );
  return hasFunctions ? [deploy, push] : [push];
}

/** Plans to write the files that are not there. Returns the hashes of all; what is in the way becomes a conflict. */
function placeFiles(
  plan: Plan,
  files: Files,
  { files: there, manifest }: Project,
  functions: readonly string[],
): Manifest["files"] {
  const foreign = new Set(
    [...there].filter(([path, text]) => files.get(path) !== text)
      .map(([path]) => functionOf(path) ?? "").filter((name) => functions.includes(name)),
  );
  for (const name of foreign) {
    plan.conflicts.push(`edge function ${name} (supabase/functions/${name})`);
  }
  const hashes: Manifest["files"] = {};
  for (const [path, text] of files) {
    const written = manifest?.files[path];
    hashes[path] = written ?? hashOf(text);
    const current = there.get(path);
    if (written !== undefined && current !== undefined) continue;
    if (current === undefined) plan.writes.set(path, text);
    else if (current !== text && !foreign.has(functionOf(path) ?? "")) {
      plan.conflicts.push(`file ${path}`);
    }
  }
  return hashes;
}

/** Plans the packs' migrations of all versions; the name that each has here by the one it has in the checkout. */
function placeMigrations(
  plan: Plan,
  source: Source,
  project: Project,
  packs: readonly Pack[],
  { aside, at }: InstallOptions,
): Manifest["migrations"] {
  const write = migrationWriter(plan, project, at);
  if (aside) write("daybook_move_aside", moveAside(namesOf(source, packs)));
  const core = source.migrations.find(({ pack }) => pack === "scheduler");
  const migrations: Manifest["migrations"] = {};
  for (const { file, pack, text } of source.migrations) {
    if (!packs.some(({ name }) => name === pack)) continue;
    migrations[file] = write(undated(file), text);
    // At once: other packs ask which day ran last.
    if (aside && file === core?.file) write("daybook_take_over", takeOver());
  }
  return migrations;
}
