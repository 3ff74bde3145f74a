/** `doctor`: everything between a person and the first green run, each with the command that mends it. */
import type { Command } from "commander";
import { typedPath } from "../../local/typed-path.ts";
import { version as ownVersion } from "../../shared/version.ts";
import { errorMessage } from "../../shared/job/errors.ts";
import { formatTable } from "../format-table.ts";
import { type DatabaseFacts, readDatabase, verifyDatabase } from "./doctor-database.ts";
import {
  type Answers,
  checkCli,
  checkConfig,
  checkDeployed,
  checkKeys,
  checkLink,
  checkProject,
  checkRotation,
  checkSecret,
  checkVersion,
  checkWallClock,
  databaseFinding,
  type Finding,
  skipped,
} from "./doctor-findings.ts";
import { askApi } from "./doctor-api.ts";
import { connectTo, databaseUrlIfAny } from "./database.ts";
import {
  cliVersion,
  isProject,
  linkedRef,
  listFunctions,
  listKeys,
  listProjects,
  readProjectOnDisk,
} from "./doctor-project.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { askFunction } from "./rotate-secret-functions.ts";
import { addNote, type CommonOptions, endWith } from "./verb.ts";

interface Options extends CommonOptions {
  project?: string;
}

export function addDoctor(program: Command, io: Io): void {
  const command = program.command("doctor")
    .summary("everything between you and the first green run, with what mends it")
    .description("Look for everything between you and the first green run, and say what mends it.")
    .option(
      "--project <FOLDER>",
      "a project of the Supabase CLI: its CLI, link, keys and files, too",
    )
    .action(async function (this: Command) {
      const options = this.optsWithGlobals<Options>();
      const findings = await examine(options, io);
      io.print(options.json ? JSON.stringify({ findings }, null, 2) : describe(findings));
      const isIll = findings.some(({ state }) => state === "failed");
      endWith(this, isIll ? exitCodes.jobs : exitCodes.ok);
    });
  addNote(
    command,
    "It looks at the database (--db-url, or the running stack's) and at the functions that " +
      "Vault's project_url leads to; with --url at what the API tells, and at the functions if " +
      "CRON_SECRET is set; with --project also at that folder and, through the Supabase CLI, at " +
      "the project that it is linked to. Secrets are tried by calls and never shown. Nothing is " +
      "changed. Functions are current when they are of the version of the project's daybook.json, " +
      "or of this checkout; changes of your own are not seen. It ends with 1 when a check failed.",
  );
}

async function examine(options: Options, io: Io): Promise<Finding[]> {
  const findings: Finding[] = [];
  const folder = options.project === undefined ? undefined : typedPath(options.project, io.env);
  if (folder !== undefined && !await isProject(folder)) {
    throw new CommandError(
      exitCodes.usage,
      `${folder} is no project: it has no supabase/config.toml`,
      "supabase init",
    );
  }
  const onDisk = folder === undefined ? undefined : await readProjectOnDisk(folder);
  const expected = onDisk?.version ?? ownVersion;
  const database = await examineDatabase(options, io, expected);
  const byUrl = database.findings.length === 0 ? await askApi(options, io) : undefined;
  if (folder !== undefined && onDisk !== undefined) {
    findings.push(checkConfig(onDisk, options.project!));
    findings.push(...await examineProject(folder, database.facts?.projectUrl, onDisk.functions));
  }
  findings.push(...database.findings, ...byUrl?.findings ?? []);
  if (byUrl !== undefined && byUrl.answers.size > 0) {
    findings.push(
      checkDeployed(byUrl.answers, expected),
      checkSecret(byUrl.answers, "the environment"),
      checkWallClock(undefined, byUrl.answers),
    );
  }
  if (database.facts?.version !== undefined) {
    findings.push(...await examineFunctions(database.facts, expected));
  }
  return findings;
}

/** Through the Supabase CLI. */
async function examineProject(
  folder: string,
  projectUrl: string | undefined,
  functions: string[],
): Promise<Finding[]> {
  const cli = checkCli(await cliVersion(folder));
  const ofVault = /^https:\/\/([a-z]{20})\./.exec(projectUrl ?? "")?.[1];
  const ref = await linkedRef(folder);
  const findings = [cli, checkLink(ref, ofVault)];
  if (cli.state === "failed" || ref === undefined) return findings;
  const projects = await listProjects(folder);
  const project = checkProject(ref, projects.items, projects.said);
  findings.push(project);
  if (project.state === "failed") return findings;
  findings.push(checkKeys(ref, (await listKeys(folder)).items));
  const deployed = await listFunctions(folder);
  const missing = functions.filter((name) => !deployed.items?.some(({ slug }) => slug === name));
  if (deployed.items !== undefined && missing.length > 0) {
    findings.push({
      check: "functions of the project",
      state: "failed",
      detail: `not deployed: ${missing.join(", ")}`,
      command: "supabase functions deploy",
    });
  }
  return findings;
}

async function examineDatabase(
  options: Options,
  io: Io,
  expected: string,
): Promise<{ facts?: DatabaseFacts; findings: Finding[] }> {
  const check = "database";
  const url = await databaseUrlIfAny(options, io);
  if (url === undefined) {
    if (options.url !== undefined || options.profile !== undefined) return { findings: [] };
    if (options.project !== undefined) {
      return { findings: [skipped(check, "give --db-url to look into it")] };
    }
    return {
      findings: [{
        check,
        state: "failed",
        detail: "no stack is running, and none is named",
        command: "deno task start, or --db-url",
      }],
    };
  }
  const sql = connectTo(url, "daybook doctor");
  try {
    const facts = await readDatabase(sql);
    if (facts.version === undefined) {
      return {
        findings: [{
          check,
          state: "failed",
          detail: "it has no Daybook",
          command: "deno task install <folder>, then supabase db push",
        }],
      };
    }
    const checks = await verifyDatabase(sql, io);
    return {
      facts,
      findings: [
        { check, state: "ok", detail: "it answers" },
        checkVersion(facts.version, expected),
        ...checks.map(databaseFinding),
        checkRotation(facts.stage),
      ],
    };
  } catch (error) {
    return { findings: [unreachable(error)] };
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function unreachable(error: unknown): Finding {
  const code = (error as { code?: string }).code ?? "";
  const detail = `it does not answer: ${errorMessage(error).replaceAll(/:\/\/[^@\s]*@/g, "://…@")}`;
  const command = /^28/.test(code)
    ? "the password is wrong: open Database, Settings on the dashboard and reset it"
    : /ENOTFOUND|EAI_AGAIN|ENETUNREACH/.test(`${code} ${detail}`)
    ? "is the host's name right? A project that was paused for long has none: restore it on its dashboard; " +
      "without IPv6 take the URL of the session pooler"
    : "deno task start, or restore the project on its dashboard";
  return { check: "database", state: "failed", detail, command };
}

/** By calls with the secret of Vault. */
async function examineFunctions(facts: DatabaseFacts, expected: string): Promise<Finding[]> {
  const { projectUrl, secret, functions, cut } = facts;
  if (projectUrl === undefined || secret === undefined) {
    return [skipped("secret of the functions", "Vault lacks what a call needs")];
  }
  const answers: Answers = new Map(
    await Promise.all(
      functions.map(async (name) => [name, await askFunction(projectUrl, name, secret)] as const),
    ),
  );
  return [
    checkDeployed(answers, expected),
    checkSecret(answers),
    checkWallClock(cut, answers),
  ];
}

function describe(findings: Finding[]): string {
  const rows = findings.map(({ check, state, detail }) => [state, check, detail]);
  const remedies = findings.filter(({ command }) => command !== undefined)
    .map(({ check, command }) => `${check}:\n  ${command}`);
  const failed = findings.filter(({ state }) => state === "failed").length;
  const warned = findings.filter(({ state }) => state === "warning").length;
  const verdict = failed > 0
    ? `${failed} of ${findings.length} checks failed`
    : warned > 0
    ? `Nothing failed; ${warned} to look at`
    : "All is well";
  return [formatTable(rows), ...(remedies.length > 0 ? ["", ...remedies] : []), "", verdict].join(
    "\n",
  );
}
