/** Where the SQL of an adoption goes: into a project, a file, or the database. */
import { resolve } from "node:path";
import { typedPath } from "../../local/typed-path.ts";
import postgres from "postgres";
import { emptyPlan, migrationWriter, undated, versionOf } from "../../install/plan.ts";
import { type Project, readProject } from "../../install/project.ts";
import { compareVersions } from "../../local/raise-version.ts";
import { connectTo, unreachable } from "./database.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";

/** The first version that can adopt entries. */
const since = "0.11.0";

/** A project on this machine, which the migration is written into. */
export interface ProjectFolder {
  path: string;
  project: Project;
  /** The functions in it that are served by Daybook's `serveJob`. */
  served: string[];
}

/** @throws CommandError where the folder is no project, or one without a Daybook that can adopt. */
export async function openProject(given: string, io: Pick<Io, "env">): Promise<ProjectFolder> {
  const path = typedPath(given, io.env);
  const project = await readProject(path).catch((error) => {
    throw new CommandError(exitCodes.usage, (error as Error).message);
  });
  const version = project.manifest?.version;
  if (version === undefined || compareVersions(version, since) < 0) {
    throw new CommandError(
      exitCodes.refused,
      version === undefined
        ? `${given} has no Daybook`
        : `${given} has Daybook ${version}, which cannot adopt entries`,
      `deno task ${
        version === undefined ? "install" : "upgrade"
      } ${given}, then adopt again: its migrations come first`,
    );
  }
  const served = [...project.files].flatMap(([path, text]) => {
    const [, name] = /^supabase\/functions\/([^_/][^/]*)\/[^/]+\.ts$/.exec(path) ?? [];
    return name !== undefined && /_shared\/daybook\/[^"']*serve-job/.test(text) ? [name] : [];
  });
  return { path, project, served: [...new Set(served)] };
}

/** Writes a migration dated after all others; one with this text that is not applied yet is not written again. */
export async function writeMigration(
  { path: folder, project }: ProjectFolder,
  name: string,
  text: string,
  applied: readonly string[],
  io: Pick<Io, "now">,
): Promise<string> {
  const files = [...project.files].flatMap(([path, there]) =>
    path.startsWith("supabase/migrations/") && there === text ? [path.split("/").at(-1)!] : []
  );
  const waiting = files.find((file) =>
    undated(file) === name && !applied.includes(versionOf(file))
  );
  if (waiting !== undefined) {
    return `Written already, and not applied yet: supabase/migrations/${waiting}. Next: supabase db push`;
  }
  const plan = emptyPlan();
  migrationWriter(plan, project, io.now())(name, text);
  const [path] = [...plan.writes.keys()] as [string];
  await writeWhole(resolve(folder, path), text);
  return `Written: ${path}. Next: supabase db push`;
}

/** @throws CommandError where the file is there. */
export async function writeNew(given: string, text: string, io: Pick<Io, "env">): Promise<void> {
  const path = typedPath(given, io.env);
  if (await Deno.stat(path).then(() => true, () => false)) {
    throw new CommandError(exitCodes.usage, `Cannot write ${given}: it is there already`);
  }
  await writeWhole(path, text).catch((error) => {
    throw new CommandError(exitCodes.usage, `Cannot write ${given}: ${(error as Error).message}`);
  });
}

/** Writes all of the file or nothing, also where the command is killed. */
async function writeWhole(path: string, text: string): Promise<void> {
  const unfinished = `${path}.unfinished`;
  await Deno.writeTextFile(unfinished, text);
  await Deno.rename(unfinished, path);
}

/** What `adopt_entries` and `undo_adoption` say where they have nothing to do. */
const nothingToDo = /^(already adopted|nothing to put back):/;

/** Runs the SQL, one statement. Notices of the database go to `say`. False: it found nothing to do. */
export async function carryOutSql(
  url: string,
  text: string,
  say: (line: string) => void,
): Promise<boolean> {
  let isDone = true;
  const sql = connectTo(url, "daybook adopt", {
    onNotice(message) {
      if (nothingToDo.test(message)) isDone = false;
      say(message);
    },
  });
  try {
    await sql.unsafe(text);
    return isDone;
  } catch (error) {
    if (!(error instanceof postgres.PostgresError)) throw unreachable(url, error);
    throw new CommandError(
      exitCodes.refused,
      `Nothing was changed: ${error.message}`,
      error.hint,
    );
  } finally {
    await sql.end({ timeout: 5 });
  }
}
