/** `crontab`: the files of a clock other than pg_cron. */
import { type Command, Option } from "commander";
import { readBaseUrl } from "../../shared/base-url.ts";
import {
  type CallOptions,
  composeFile,
  cronFile,
  kubernetesFile,
  planCalls,
} from "./crontab-files.ts";
import type { ClockKind, ScheduledJob } from "./crontab-schedules.ts";
import { connectTo, databaseUrlIfAny, unreachable } from "./database.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { openPlace } from "./open-source.ts";
import { readPages } from "./pages.ts";
import { assertOnePlace } from "./place.ts";
import { readProfile } from "./profile.ts";
import { addNote, type CommonOptions } from "./verb.ts";

interface Options extends CommonOptions {
  format: ClockKind;
  eachJob?: boolean;
  header: CallOptions["header"];
  client: CallOptions["client"];
  projectUrl?: string;
}

export function addCrontab(program: Command, io: Io): void {
  const command = program.command("crontab")
    .summary("the file of a clock other than pg_cron")
    .description("Write the file of a clock other than pg_cron: tick, called each minute.")
    .addOption(
      new Option("--format <FORMAT>", "cron, kubernetes or compose")
        .choices(["cron", "kubernetes", "compose"]).makeOptionMandatory(),
    )
    .option("--each-job", "also call each job by itself, in its zone, as far as that clock can")
    .addOption(
      new Option("--header <HEADER>", "x-cron-secret (the default) or bearer")
        .choices(["x-cron-secret", "bearer"]).default("x-cron-secret"),
    )
    .addOption(
      new Option("--client <CLIENT>", "curl (the default) or wget, which shows the secret to ps")
        .choices(["curl", "wget"]).default("curl"),
    )
    .option("--project-url <URL>", "what is called; without it --url, or project_url of Vault")
    .action(async function (this: Command) {
      const options = this.optsWithGlobals<Options>();
      const { format, client, header } = options;
      const projectUrl = await projectUrlOf(options, io);
      const jobs = options.eachJob ? await allJobs(options, io) : [];
      const plan = planCalls(format, jobs, { projectUrl, header, client });
      if (options.json) return io.print(JSON.stringify(plan, null, 2));
      const file = {
        cron: () => cronFile(plan),
        kubernetes: () => kubernetesFile(plan, client),
        compose: () => composeFile(plan, client),
      }[format]();
      io.print(file.trimEnd());
    });
  addNote(
    command,
    "The file holds no secret: cron reads it from a file of its own, Kubernetes from a Secret, " +
      "Compose from an env_file. A call runs the occurrence that is due, once, also where pg_cron " +
      'fires the job; else it is answered "already". Schedules that the clock cannot say stand in ' +
      "the file's head with the reason; tick sends them.",
  );
}

async function allJobs(options: Options, io: Io): Promise<ScheduledJob[]> {
  const { source } = await openPlace(options, io);
  try {
    type Listed = Omit<ScheduledJob, "name"> & { job: string };
    const { jobs } = await readPages<"jobs", Listed, object>(source, "status", {}, "jobs");
    return jobs.map(({ job, ...rest }) => ({ ...rest, name: job }));
  } finally {
    await source.close();
  }
}

/** The address that the clock calls. */
async function projectUrlOf(options: Options, io: Io): Promise<string> {
  assertOnePlace(options);
  const told = options.projectUrl ?? options.url ??
    (options.profile === undefined ? undefined : (await readProfile(options.profile, io)).url) ??
    await vaultsUrl(options, io);
  const url = told === undefined ? undefined : readBaseUrl(told);
  if (url === undefined || /['"\\$`%\s]/.test(url)) {
    throw new CommandError(
      exitCodes.usage,
      "Cannot tell which address the clock is to call",
      "--project-url https://<ref>.supabase.co",
    );
  }
  return url.replace(/\/functions\/v1\/cron$/, "");
}

async function vaultsUrl(options: CommonOptions, io: Io): Promise<string | undefined> {
  const database = await databaseUrlIfAny(options, io);
  if (database === undefined) return undefined;
  const sql = connectTo(database, "daybook crontab");
  try {
    const [row] = await sql`
      select decrypted_secret as url from vault.decrypted_secrets
      where name = 'project_url' and scheduler.project_url_fault(decrypted_secret) is null`;
    return row?.url;
  } catch (error) {
    throw unreachable(database, error);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
