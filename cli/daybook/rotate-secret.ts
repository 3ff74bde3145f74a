/** `rotate-secret`: another cron secret, in both places, without a refused request. */
import type { Command } from "commander";
import postgres from "postgres";
import { connectTo, databaseUrlOf } from "./database.ts";
import { DEFAULT_DATA_DIRECTORY } from "../running-stack.ts";
import { type ActOptions, asAct, reasonOf } from "./act.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { authorOfProfile } from "./profile.ts";
import { alone, rotationDatabase } from "./rotate-secret-database.ts";
import { askFunction, secretsOfProject, secretsOfStack } from "./rotate-secret-functions.ts";
import {
  rotateSecret,
  RotationError,
  type RotationReport,
  type SetFunctionSecrets,
} from "./rotate-secret-steps.ts";
import { addNote, type CommonOptions, endWith, namedAuthor } from "./verb.ts";

interface Options extends CommonOptions, ActOptions {
  projectRef?: string;
  settle?: string;
  limit: string;
  mend?: boolean;
}

export function addRotateSecret(program: Command, io: Io): void {
  const command = asAct(program.command("rotate-secret"))
    .summary("another cron secret, in both places, without a refused request")
    .description("Give the functions and Vault another cron secret; no request is refused.")
    .option("--project-ref <REF>", "whose functions; without it the project of Vault's project_url")
    .option("--settle <SECONDS>", "how long each function must answer as it should (200)")
    .option("--limit <SECONDS>", "how long each step may take (600)", "600")
    .option("--mend", "also where the functions refuse the secret of Vault")
    .action(async function (this: Command) {
      const options = this.optsWithGlobals<Options>();
      await rotate(options, io);
      endWith(this, exitCodes.ok);
    });
  addNote(
    command,
    "It needs the database, and, but for the running stack, the Supabase CLI, signed in. The " +
      "functions take old and new side by side; each says so for --settle seconds, longer than an " +
      "instance with old variables takes requests (half of 400 s; on the running stack 5 s). Then " +
      "Vault gets the new one, requests with the old one are waited for, a request of the " +
      "database is proven, and the functions get the new one alone. Stopped at any point, it goes " +
      "on when it is called again. No secret is printed, and none lies in a file.",
  );
}

async function rotate(options: Options, io: Io): Promise<void> {
  const reason = reasonOf(options);
  const databaseUrl = await databaseUrlOf(options, io);
  const author = namedAuthor(options.author, await authorOfProfile(options.profile, io), io);
  const settleMs = options.settle === undefined ? undefined : secondsOf(options.settle, "--settle");
  const limitMs = secondsOf(options.limit, "--limit");
  const sql = connectTo(databaseUrl, "daybook rotate-secret", { max: 2 });
  const say = (line: string) => options.json ? io.complain(line) : io.print(line);
  try {
    const apiUrl = await projectUrl(sql);
    const place = await placeOf(options.projectRef, apiUrl, databaseUrl, io);
    const report = await alone(sql, () =>
      rotateSecret({
        database: rotationDatabase(sql, { reason, author }),
        setFunctionSecrets: place.setFunctionSecrets,
        ask: (name, secret) => askFunction(apiUrl, name, secret),
        say,
        now: Date.now,
        sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      }, {
        settleMs: settleMs ?? place.settleMs,
        limitMs,
        mend: options.mend ?? false,
      }));
    finish(report, options, io);
  } catch (error) {
    throw asCommandError(error);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function finish(report: RotationReport, { json }: Options, io: Io): void {
  if (json) return io.print(JSON.stringify(report, null, 2));
  io.print(`Rotated; ${report.functions.length} functions take the new secret and no other`);
  io.print(
    "Whoever else sends it reads it in the SQL console: select decrypted_secret from vault.decrypted_secrets " +
      "where name = 'cron_secret'",
  );
}

async function projectUrl(sql: postgres.Sql): Promise<string> {
  const [row] = await sql`
    select decrypted_secret as url, scheduler.project_url_fault(decrypted_secret) as fault
    from vault.decrypted_secrets where name = 'project_url'`;
  if (row === undefined || row.fault !== null) {
    throw new CommandError(
      exitCodes.refused,
      `Cannot rotate the secret: ${row?.fault ?? "Vault has no secret named project_url"}`,
      row === undefined
        ? "select vault.create_secret('https://<ref>.supabase.co', 'project_url')"
        : "deno task daybook doctor says how it is changed",
    );
  }
  return row.url.replace(/\/+$/, "");
}

/** What sets the variables of the functions, and how long those that run may keep their old ones. */
async function placeOf(
  projectRef: string | undefined,
  apiUrl: string,
  databaseUrl: string,
  io: Pick<Io, "stackDatabase">,
): Promise<{ setFunctionSecrets: SetFunctionSecrets; settleMs: number }> {
  const running = await io.stackDatabase().catch(() => undefined);
  return projectRef === undefined && databaseUrl === running
    ? { setFunctionSecrets: secretsOfStack(DEFAULT_DATA_DIRECTORY), settleMs: 5_000 }
    : {
      setFunctionSecrets: secretsOfProject(projectRef ?? projectRefOf(apiUrl)),
      settleMs: 200_000,
    };
}

/** Whose functions pg_net calls are those whose variables are to be set. */
function projectRefOf(apiUrl: string): string {
  const ref = /^https:\/\/([a-z]{20})\.supabase\.(?:co|in|red)$/.exec(apiUrl)?.[1];
  if (ref !== undefined) return ref;
  throw new CommandError(
    exitCodes.usage,
    `Cannot tell the project from ${new URL(apiUrl).host}, which Vault has as project_url`,
    "--project-ref says whose functions get the secret; for the running stack leave --db-url out",
  );
}

function secondsOf(text: string, option: string): number {
  if (/^\d{1,5}(\.\d{1,3})?$/.test(text)) return Number(text) * 1000;
  throw new CommandError(exitCodes.usage, `${option} must be a number of seconds, got ${text}`);
}

function asCommandError(error: unknown): unknown {
  if (error instanceof RotationError) {
    return new CommandError(exitCodes.refused, error.message, error.hint);
  }
  if (error instanceof postgres.PostgresError) {
    const isRefusal = /^(SD|22023)/.test(error.code);
    return new CommandError(
      isRefusal ? exitCodes.refused : exitCodes.unreachable,
      `The database says: ${error.message}`,
      error.hint,
    );
  }
  if (error instanceof CommandError || !(error instanceof Error)) return error;
  return new CommandError(exitCodes.unreachable, error.message);
}
