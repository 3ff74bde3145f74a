/** The command line: every verb is a file of its own that adds itself. */
import { Command, type Help, type Option } from "commander";
import { wrap } from "../../shared/text.ts";
import { CommandError, type ExitCode, exitCodes, type Io } from "./io.ts";
import { addAdopt } from "./adopt.ts";
import { addApply } from "./apply.ts";
import { addAudit } from "./audit.ts";
import { addAuditLog } from "./audit-log.ts";
import { addBackfill } from "./backfill.ts";
import { addCancel } from "./cancel.ts";
import { addChannels } from "./channels.ts";
import { addCloseBreaker } from "./close-breaker.ts";
import { addCrontab } from "./crontab.ts";
import { addDoctor } from "./doctor.ts";
import { addReleaseLocks, addRestart, addStop } from "./emergency.ts";
import { addExplain } from "./explain.ts";
import { addFailures } from "./failures.ts";
import { addHealth } from "./health.ts";
import { addLogs } from "./logs.ts";
import { addMetrics } from "./metrics.ts";
import { addNext } from "./next.ts";
import { addPause, addResume } from "./pause.ts";
import { addPlan } from "./plan.ts";
import { addRotateSecret } from "./rotate-secret.ts";
import { addRetry, addRun } from "./run.ts";
import { addRuns } from "./runs.ts";
import { addSmoke } from "./smoke.ts";
import { addStatus } from "./status.ts";
import { addVerify } from "./verify.ts";
import { addNote, endingOf, noteOf } from "./verb.ts";

/**
 * Every verb. A further one is a line here. Its `summary` is what the list of verbs shows (no capital, no full stop), its
 * `description` is one sentence, and what else is to say is `addNote`'s.
 */
const verbs: ((program: Command, io: Io) => void)[] = [
  addStatus,
  addHealth,
  addMetrics,
  addFailures,
  addExplain,
  addNext,
  addRuns,
  addLogs,
  addAuditLog,
  addAudit,
  addAdopt,
  addChannels,
  addVerify,
  addSmoke,
  addRun,
  addRetry,
  addCancel,
  addPause,
  addResume,
  addPlan,
  addApply,
  addBackfill,
  addCloseBreaker,
  addReleaseLocks,
  addStop,
  addRestart,
  addDoctor,
  addRotateSecret,
  addCrontab,
];

const task = "deno task daybook";
const lineWidth = 120;

/** A command whose mistakes are said in this house's words, with its usage. */
class Verb extends Command {
  override createCommand(name?: string): Command {
    return new Verb(name);
  }

  override error(message: string): never {
    const text = message.replace(/^error: /, "").replace(
      /\n?\(Did you mean (.+)\?\)$/,
      "; did you mean $1?",
    )
      .replace(/^unknown command/, "unknown verb").replace(" is invalid. it", " is invalid: it");
    throw new CommandError(
      exitCodes.usage,
      `${text.slice(0, 1).toUpperCase()}${text.slice(1)}\n\n${this.helpInformation().trimEnd()}`,
    );
  }
}

/** `--url <URL>` as `--url URL`, `-f, --follow` as it is. */
const flagsOf = ({ flags }: Option) => flags.replace(/[<>]/g, "");

/** Like the help of every other task: what it does, how it is called, its options, and what else is to say. */
function formatHelp(command: Command, helper: Help): string {
  const isRoot = command.parent === null;
  const rows: [string, string][] = [];
  for (const verb of helper.visibleCommands(command)) {
    rows.push([
      [verb.name(), argumentsOf(verb)].filter(Boolean).join(" "),
      verb.summary() || verb.description(),
    ]);
  }
  const argumentRows = helper.visibleArguments(command)
    .map(({ description }, index): [string, string] => [argumentsOf(command, index), description]);
  const options = helper.visibleOptions(command).filter(({ long }) => long !== "--help");
  const optionRows = options.map((
    option,
  ): [string, string] => [flagsOf(option), option.description]);
  const common = isRoot ? [] : helper.visibleGlobalOptions(command)
    .filter(({ long }) => long !== "--help").map((
      option,
    ): [string, string] => [flagsOf(option), option.description]);
  const last: [string, string][] = [...common, ["--help", "this text"]];
  const width = Math.max(
    ...[...rows, ...argumentRows, ...optionRows, ...last].map(([term]) => term.length),
  );
  const block = (list: [string, string][]) =>
    list.map(([term, text]) => {
      const lines = wrap(text, lineWidth - width - 4, 0);
      return `  ${term.padEnd(width)}  ${lines.join(`\n${" ".repeat(width + 4)}`)}`;
    }).join("\n");
  const call = [task, isRoot ? "<verb>" : command.name(), argumentsOf(command), "[options]"];
  return [
    command.description(),
    call.filter(Boolean).join(" "),
    block(rows),
    block([...argumentRows, ...optionRows, ...(isRoot ? last : [])]),
    isRoot ? "" : block(last),
    noteOf(command).split("\n").map((line) => wrapLine(line)).join("\n"),
  ].filter((part) => part !== "").join("\n\n") + "\n";
}

/** Only what is too long: the blanks of a table stay. */
function wrapLine(line: string): string {
  return line.length <= lineWidth ? line : wrap(line, lineWidth, 0).join("\n");
}

function argumentsOf(command: Command, only?: number): string {
  return command.registeredArguments.filter((_, index) => only === undefined || index === only)
    .map((argument) => {
      const name = argument.name() + (argument.variadic ? "..." : "");
      return argument.required ? `<${name}>` : `[${name}]`;
    }).join(" ");
}

/** The program with all its verbs. */
function createProgram(io: Io): Command {
  const program = new Verb("daybook");
  program
    .description("Ask and steer the jobs of a stack or a project.")
    .helpOption("-h, --help", "this text")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.print(text.trimEnd()),
      writeErr: (text) => io.complain(text.trimEnd()),
    })
    .configureHelp({ formatHelp, showGlobalOptions: true })
    .option(
      "--url <URL>",
      "a project: https://<ref>.supabase.co; with a secret of the environment, see daybook --help",
    )
    .option(
      "--db-url <URL>",
      "a database: postgres://…; without any of the three the running stack's",
    )
    .option("--profile <NAME>", "a place of the profile file, docs/command-line.md")
    .option("--json", "the API's answer as it is, docs/api.md")
    .option("--utc", "read and show times in UTC, not in your zone");
  addNote(program, programNotes);
  for (const addVerb of verbs) addVerb(program, io);
  return program;
}

const programNotes =
  `Each verb says more with --help. Those that act need --reason, and --author or DAYBOOK_AUTHOR.

  deno task daybook explain nightly --at "2026-03-08 02:20"
  deno task daybook failures --url https://<ref>.supabase.co
  deno task daybook pause nightly --until 2h --reason "a release" --author ann

Environment
  DAYBOOK_TOKEN, CRON_SECRET, SUPABASE_SECRET_KEY, SUPABASE_SERVICE_ROLE_KEY
                    a user's access token, the cron secret or a key, for --url: the first that is set
  DAYBOOK_AUTHOR    who acts
  TZ                your zone
  NO_COLOR          no colours

Ends with
  0  all is well
  1  something is wrong with the jobs: one fails or is stalled, a run did not complete, a check does not hold
  2  the command is wrong: a verb, an option, a job or a run that there is not
  3  no answer: nothing listens there, the secret is refused, the database is down
  4  the verb was refused: the state of the job or the run does not allow it, or you may only read
  5  plan: something would change
  70  the command itself broke: report what it printed
  130  stopped by Ctrl-C`;

/** With what of a URL may be a password left out. */
function stackOf(error: unknown): string {
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  return stack.replaceAll(/:\/\/[^@\s]*@/g, "://…@");
}

/** Runs the command of these arguments and says how it ends; what is wrong is printed. */
export async function runProgram(args: string[], io: Io): Promise<ExitCode> {
  const program = createProgram(io);
  try {
    if (args.length === 0) {
      throw new CommandError(exitCodes.usage, program.helpInformation().trimEnd());
    }
    await program.parseAsync(args, { from: "user" });
    return endingOf(program);
  } catch (error) {
    if (error instanceof CommandError) {
      io.complain([error.message, error.hint && `hint: ${error.hint}`].filter(Boolean).join("\n"));
      return error.exitCode;
    }
    // commander ends --help in this way.
    if ((error as { code?: string }).code === "commander.helpDisplayed") return exitCodes.ok;
    // Left to Deno it would end with 1, which says that something is wrong with the jobs.
    io.complain(`The command broke: ${stackOf(error)}`);
    return exitCodes.broken;
  }
}
