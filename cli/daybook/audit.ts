import { type Command, InvalidArgumentError, Option } from "commander";
import postgres, { type Sql } from "postgres";
import { type Audit, audit } from "../audit/audit.ts";
import type { Entry } from "../audit/entry.ts";
import type { Facts, Works } from "../audit/facts.ts";
import { severities, type Severity } from "../audit/finding.ts";
import { readFunctionLog } from "../audit/function-log.ts";
import { report } from "../audit/report.ts";
import { sarifOf } from "../audit/sarif.ts";
import { readDatabase } from "../audit/sources/database.ts";
import { readText } from "../audit/sources/read-text.ts";
import { keyOf, watchAnswers } from "../audit/watch.ts";
import { loadSqlParser } from "../audit/work.ts";
import { isZone } from "../audit/zones.ts";
import { readVersion } from "../../local/releases.ts";
import { CommandError, type ExitCode, exitCodes, type Io } from "./io.ts";
import { worksOption } from "./options.ts";
import { readProfile } from "./profile.ts";
import { addNote, endWith } from "./verb.ts";

interface Options {
  dbUrl?: string;
  url?: string;
  profile?: string;
  json?: boolean;
  sarif?: boolean;
  works: Works[];
  watch?: number;
  functionLog?: string;
  zone?: string;
  failOn: Severity | "never";
}

export function addAudit(program: Command, io: Io): void {
  const command = program.command("audit")
    .summary("what is wrong with any project's cron entries")
    .description("What is wrong with the cron entries of a project, which need not know Daybook.")
    .argument(
      "[files...]",
      "crontab, vercel.json, manifest of Kubernetes, schedules.json, .tsv; - is standard input",
    )
    .addOption(worksOption())
    .option(
      "--watch <HOURS>",
      "of a database: watch pg_net so long first, to know whose its answers are",
      hoursOf,
    )
    .option(
      "--function-log <FILE>",
      "an exported log of the functions: durations and statuses, as JSON",
    )
    .option("--zone <ZONE>", "of a machine or cluster that the file does not name", zoneOf)
    .option("--sarif", "as SARIF 2.1.0, for code scanning")
    .addOption(
      new Option(
        "--fail-on <SEVERITY>",
        "end with 1 for what is proven and so severe: error (unless said), warning, note; never",
      )
        .choices([...severities, "never"]).default("error"),
    )
    .action(async function (this: Command) {
      const options = this.optsWithGlobals<Options>();
      endWith(this, await run(this.args, options, io));
    });
  addNote(
    command,
    `Without files it audits --db-url, else the running stack's database: cron.job, cron.job_run_details and
net._http_response, in a read-only transaction. It changes nothing. No secret is printed. docs/audit.md`,
  );
}

function hoursOf(text: string): number {
  const hours = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && hours > 0 && hours <= 168) return hours;
  throw new InvalidArgumentError("it must be hours, more than 0 and at most 168");
}

function zoneOf(text: string): string {
  if (isZone(text)) return text;
  throw new InvalidArgumentError("it must be an IANA time zone, like Europe/Berlin");
}

async function run(
  files: string[],
  options: Options,
  io: Io,
): Promise<ExitCode> {
  if (options.url !== undefined) {
    throw new CommandError(
      exitCodes.usage,
      "audit reads files or a database, and no project over HTTP",
      "give --db-url, or a file",
    );
  }
  const told = options.dbUrl ?? await profileDatabase(options.profile, io);
  await loadSqlParser();
  const facts: Facts = { now: io.now(), works: options.works, unknown: [] };
  const entries: Entry[] = [];
  for (const file of files) {
    const text = await textOf(file);
    const name = file === "-" ? "stdin" : file;
    const read = usable(() => readText({ name, text, zone: options.zone }));
    entries.push(...read.entries);
    facts.unknown.push(...read.unknown);
  }
  const names = files.map((file) => file === "-" ? "standard input" : file);
  if (files.length === 0 || told !== undefined) {
    const url = told ?? await stackDatabase(io);
    names.push(await addDatabase(url, options, io, entries, facts));
  }
  if (options.functionLog !== undefined) {
    const name = options.functionLog;
    const text = await textOf(name);
    facts.functionRuns = usable(() => readFunctionLog(name, text));
  }
  const result = audit(entries, facts);
  if (options.sarif) io.print(JSON.stringify(sarifOf(result, await readVersion()), null, 2));
  else if (options.json) io.print(JSON.stringify(jsonOf(result), null, 2));
  else io.print(report(result, names.join(", "), io.colours));
  return fails(result, options.failOn) ? exitCodes.jobs : exitCodes.ok;
}

/** What is wrong with a file is the mistake of whoever gave it. */
function usable<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    throw new CommandError(exitCodes.usage, (error as Error).message);
  }
}

async function textOf(file: string): Promise<string> {
  try {
    return file === "-"
      ? await new Response(Deno.stdin.readable).text()
      : await Deno.readTextFile(file);
  } catch (error) {
    throw new CommandError(exitCodes.usage, `Cannot read ${file}: ${(error as Error).message}`);
  }
}

/** The URL that a profile's `db_url_env` names: unlike an option it is not seen in the list of processes. */
async function profileDatabase(name: string | undefined, io: Io): Promise<string | undefined> {
  if (name === undefined) return undefined;
  const variable = (await readProfile(name, io)).db_url_env;
  const url = variable === undefined ? undefined : io.env(variable);
  if (url) return url;
  throw new CommandError(
    exitCodes.usage,
    variable === undefined
      ? `The profile ${name} has no db_url_env, which audit needs`
      : `The profile ${name} needs ${variable}, which is not set`,
  );
}

async function stackDatabase(io: Io): Promise<string> {
  return await io.stackDatabase().catch(() => {
    throw new CommandError(
      exitCodes.usage,
      "Cannot audit: there is no file, no --db-url and no running stack",
      "deno task daybook audit --help",
    );
  });
}

/** Adds what a database knows; answers its name without user and password. */
async function addDatabase(
  url: string,
  { watch }: Options,
  io: Io,
  entries: Entry[],
  facts: Facts,
): Promise<string> {
  const parsed = URL.parse(url);
  if (parsed === null || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw new CommandError(
      exitCodes.usage,
      "Cannot use the database's URL: it must be postgres://…",
      "postgres://postgres:<password>@<host>:5432/postgres",
    );
  }
  const place = `postgres://${parsed.host}${parsed.pathname}`;
  const sql = postgres(url, {
    max: 1,
    onnotice: () => {},
    connect_timeout: 10,
    connection: {
      application_name: "daybook audit",
      statement_timeout: 30_000,
      default_transaction_read_only: true,
    },
  });
  try {
    const watched = watch === undefined ? [] : await watchAnswers(sql, watch, io);
    facts.now = io.now();
    const read = await readDatabase(sql as Sql);
    entries.push(...read.entries);
    facts.unknown.push(...read.unknown);
    const keys = new Set(watched.map(keyOf));
    facts.database = read.facts.answers === undefined ? read.facts : {
      ...read.facts,
      answers: [...watched, ...read.facts.answers.filter((answer) => !keys.has(keyOf(answer)))],
    };
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(
      exitCodes.unreachable,
      `Cannot read ${place}: ${(error as Error).message}`,
      "is the URL right, does the database run, and is pg_cron in it?",
    );
  } finally {
    await sql.end({ timeout: 5 });
  }
  return place;
}

function fails({ findings }: Audit, failOn: Options["failOn"]): boolean {
  return failOn !== "never" &&
    findings.some(({ severity, certainty }) =>
      certainty === "proven" && severities.indexOf(severity) <= severities.indexOf(failOn)
    );
}

function jsonOf({ score, findings, entries, unknown }: Audit) {
  return {
    score,
    entries: entries.length,
    findings: findings.map(({ entries, ...finding }) => ({
      ...finding,
      entries: entries.map(({ name, schedule, zone, where }) => ({ name, schedule, zone, where })),
    })),
    unknown,
  };
}
