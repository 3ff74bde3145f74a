/** `adopt`: jobs in the place of entries of pg_cron, and back. */
import type { Command } from "commander";
import type { Sql } from "postgres";
import { createMask } from "../../supabase/functions/autonomous-code-fixer/mask-secrets.ts";
import { adoptionSql, type Cause } from "../adopt/migration.ts";
import { isMeant } from "../adopt/candidates.ts";
import { masked, type Proposals } from "../adopt/proposal.ts";
import { propose } from "../adopt/propose.ts";
import { projectUrlOf, readFaults, type ReadForAdoption, readForAdoption } from "../adopt/read.ts";
import { jsonOf, report, reportAdopted } from "../adopt/report.ts";
import { secretsIn } from "../audit/secrets.ts";
import { listed } from "../audit/words.ts";
import { loadSqlParser } from "../audit/work.ts";
import { addCause, reasonOf } from "./act.ts";
import { type AdoptOptions, deliver, type Session } from "./adopt-session.ts";
import { openProject } from "./adopt-write.ts";
import { connectTo, databaseUrlOf, hostOf } from "./database.ts";
import { CommandError, type ExitCode, exitCodes, type Io } from "./io.ts";
import { worksOption } from "./options.ts";
import { authorOfProfile } from "./profile.ts";
import { paintFor } from "./render.ts";
import { undoOrForget } from "./adopt-undo.ts";
import { addNote, endWith, namedAuthor } from "./verb.ts";

const collect = (text: string, list: string[]) => [...list, text];

export function addAdopt(program: Command, io: Io): void {
  const command = program.command("adopt")
    .summary("jobs in the place of cron entries, and back")
    .description("Propose jobs that take the place of pg_cron's entries, and write the migration.")
    .argument("[entries...]", "names or ids of entries; with --undo and --forget also of jobs")
    .addOption(worksOption())
    .option(
      "--keep <ENTRY>",
      "keep the times of this entry, where others do the same work; repeatable",
      collect,
      [],
    )
    .option("--ignore-labels", "payloads that differ only in source, trigger, time … are the same")
    .option("--into <FOLDER>", "write the migration into this project")
    .option("--output <FILE>", "write the SQL into a new file; - prints it, and nothing else")
    .option("--apply", "carry it out now, in the database")
    .option("--undo", "put the entries back as they were, and take the jobs out")
    .option("--forget", "delete what is kept of the old entries, with --apply");
  addCause(command).action(async function (this: Command) {
    const options = this.optsWithGlobals<AdoptOptions>();
    endWith(this, await run(this.args, options, io));
  });
  addNote(
    command,
    `Without --into, --output or --apply it shows what it proposes, and changes nothing. The migration has no command and no
secret in it; the database keeps the old commands, for --undo. docs/adopting.md`,
  );
}

async function run(chosen: string[], options: AdoptOptions, io: Io): Promise<ExitCode> {
  assertOptions(options);
  const url = await databaseUrlOf(options, io);
  await loadSqlParser();
  const folder = options.into === undefined ? undefined : await openProject(options.into, io);
  const cause = await causeOf(options, io);
  const { read, proposals } = await reading(url, async (sql) => {
    const read = await readForAdoption(sql, {
      served: folder?.served ?? [],
      projectUrl: projectUrlOf(url),
    });
    if (options.undo || options.forget) return { read };
    assertZone(read);
    assertKnown(chosen, options.keep, read);
    const found = propose(read.entries, { ...read, now: io.now() }, {
      ...options,
      chosen,
      ignoreLabels: options.ignoreLabels ?? false,
    });
    const faults = await readFaults(sql, found.jobs, read.canAdopt);
    return { read, proposals: withoutFaulty(found, faults) };
  });
  const session = { chosen, options, io, url, place: hostOf(url), read, folder, cause };
  return proposals === undefined ? await undoOrForget(session) : await adopt(session, proposals);
}

/** @throws CommandError where the database does not answer. */
async function reading<Result>(url: string, fn: (sql: Sql) => Promise<Result>): Promise<Result> {
  const sql = connectTo(url, "daybook adopt", { statementTimeoutMs: 30_000 });
  try {
    return await fn(sql);
  } catch (error) {
    // Errors of the client and the server have a code; a bug of this program has none.
    if (typeof (error as { code?: unknown }).code !== "string") throw error;
    throw new CommandError(
      exitCodes.unreachable,
      `Cannot read ${hostOf(url)}: ${(error as Error).message}`,
      "is the URL right, does the database run, and is pg_cron in it?",
    );
  } finally {
    await sql.end({ timeout: 5 });
  }
}

function assertOptions({ url, into, output, apply, undo, forget }: AdoptOptions): void {
  const refuse = (message: string, hint?: string) => {
    throw new CommandError(exitCodes.usage, message, hint);
  };
  if (url !== undefined) {
    refuse("adopt reads and writes entries of pg_cron, and no project over HTTP", "give --db-url");
  }
  const ways = Object.entries({ "--into": into, "--output": output, "--apply": apply })
    .filter(([, value]) => value !== undefined).map(([option]) => option);
  if (ways.length > 1) refuse(`Cannot do ${listed(ways)} at once`);
  if (undo && forget) refuse("Cannot do --undo and --forget at once");
  if (forget && !apply) refuse("--forget is done in the database: give --apply");
}

/** The reason and the author: needed where the database is changed, optional in a migration. */
async function causeOf(options: AdoptOptions, io: Io): Promise<Cause> {
  const { reason, author, profile } = options;
  if (options.apply) {
    return {
      reason: reasonOf(options),
      author: namedAuthor(author, await authorOfProfile(profile, io), io),
    };
  }
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(author === undefined ? {} : { author }),
  };
}

function assertZone({ entries }: ReadForAdoption): void {
  const other = entries.find(({ zone }) => zone !== "UTC");
  if (other === undefined) return;
  throw new CommandError(
    exitCodes.refused,
    `pg_cron reads its entries in ${other.zone} here (cron.timezone), and Daybook's in UTC`,
    "set cron.timezone to GMT, move the entries' times, then adopt them",
  );
}

function assertKnown(
  chosen: string[],
  keep: string[],
  { entries, adopted }: ReadForAdoption,
): void {
  const isThere = (one: string) => entries.some((entry) => isMeant(entry, one));
  const unknown = [
    ...chosen.filter((one) =>
      !isThere(one) && !adopted.some(({ name, jobName }) => name === one || jobName === one)
    ),
    ...keep.filter((one) => !entries.some(({ name }) => name === one)),
  ];
  if (unknown.length > 0) {
    throw new CommandError(
      exitCodes.usage,
      `pg_cron has no entry ${listed(unknown.map((name) => `'${name}'`))}`,
      "select jobname, jobid from cron.job",
    );
  }
  const isChosen = (one: string) =>
    entries.some((entry) => entry.name === one && chosen.some((name) => isMeant(entry, name)));
  const idle = chosen.length === 0 ? [] : keep.filter((one) => !isChosen(one));
  if (idle.length === 0) return;
  throw new CommandError(
    exitCodes.usage,
    `--keep needs an entry that is adopted, and ${
      listed(idle.map((name) => `'${name}'`))
    } is not among those that are named`,
  );
}

/** Jobs that the database would refuse are no proposals. */
function withoutFaulty(proposals: Proposals, faults: ReadonlyMap<string, string>): Proposals {
  const isFaulty = ({ name, registered }: Proposals["jobs"][number]) =>
    registered === undefined && faults.has(name);
  return {
    ...proposals,
    jobs: proposals.jobs.filter((job) => !isFaulty(job)),
    leftAlone: [
      ...proposals.leftAlone,
      ...proposals.jobs.filter(isFaulty).flatMap(({ name, entries }) =>
        entries.map((entry) => ({ entry, reason: faults.get(name)! }))
      ),
    ],
  };
}

async function adopt(session: Session, proposals: Proposals): Promise<ExitCode> {
  const { chosen, options, io, place, read, cause } = session;
  const { entries, adopted, plainSecrets } = read;
  const secrets = [
    ...plainSecrets,
    ...entries.flatMap(({ name, command }) => [...secretsIn(command), ...secretsIn(name)]),
  ];
  const mask = createMask([...new Set(secrets)]);
  const { jobs, leftAlone } = proposals;
  const sql = jobs.length === 0 ? undefined : adoptionSql(jobs, cause, mask, plainSecrets);
  const shown = masked(proposals, mask);
  const text = report(shown, place, paintFor(io));
  const isActing = options.apply || options.into !== undefined || options.output !== undefined;
  // Another role's entry may have the name of one that is adopted.
  const refused = [...new Set([...chosen, ...options.keep])].filter((one) =>
    leftAlone.some(({ entry }) => isMeant(entry, one)) &&
    !jobs.some(({ entries }) => entries.some((entry) => isMeant(entry, one)))
  );
  if (isActing && refused.length > 0) {
    throw new CommandError(
      exitCodes.refused,
      `${text}\n\nNothing was done: ${listed(refused)} cannot be adopted`,
    );
  }
  const missing = missingSecrets(proposals, read);
  if (options.apply && missing !== undefined) throw new CommandError(exitCodes.refused, missing);
  if (options.output === "-") {
    if (sql !== undefined) io.print(sql.trimEnd());
    else io.complain(`Nothing to adopt in ${place}`);
    return exitCodes.ok;
  }
  if (options.json) {
    io.print(JSON.stringify(jsonOf(shown, adopted, read.unknown, sql), null, 2));
  } else {
    io.print(text);
    if (adopted.length > 0) io.print(`\nAlready adopted\n${reportAdopted(adopted)}`);
    for (const line of read.unknown) io.print(`\nNot knowable here: ${line}`);
    if (missing !== undefined) io.print(`\n${missing}`);
  }
  if (sql !== undefined) await deliver(session, "adopt_cron_entries", sql);
  return exitCodes.ok;
}

/** What the jobs need and Vault does not have: without it their runs would be misconfigured. */
function missingSecrets({ jobs }: Proposals, { project }: ReadForAdoption): string | undefined {
  const { secrets } = project;
  const needed = jobs.filter(({ request, registered }) =>
    registered === undefined && !request.target.includes("://")
  )
    .flatMap(({ request }) => ["project_url", request.secretName ?? "cron_secret"]);
  const missing = [...new Set(needed)].filter((name) =>
    secrets !== undefined && (secrets.get(name) ?? 0) < (name === "project_url" ? 1 : 32)
  );
  return missing.length === 0
    ? undefined
    : `Vault has no ${
      listed(missing)
    } that could be used, and without it no run is sent: put it there first (docs/installing.md)`;
}
