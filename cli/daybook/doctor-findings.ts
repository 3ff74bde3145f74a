/** What the doctor finds, and what mends it: each check is a function of what was looked up. */
import type { Acceptance } from "./rotate-secret-steps.ts";

export interface Finding {
  check: string;
  /** `warning`: it works, and should be looked at. `skipped`: it could not be looked at. */
  state: "ok" | "warning" | "failed" | "skipped";
  detail: string;
  /** What mends it: a line for a shell, SQL, or the page to open. */
  command?: string;
}

const ok = (check: string, detail: string): Finding => ({ check, state: "ok", detail });
const failed = (check: string, detail: string, command: string): Finding => ({
  check,
  state: "failed",
  detail,
  command,
});
const warning = (check: string, detail: string, command: string): Finding => ({
  check,
  state: "warning",
  detail,
  command,
});
export const skipped = (check: string, detail: string): Finding => ({
  check,
  state: "skipped",
  detail,
});

/** The oldest Supabase CLI that these commands were tried with. */
const oldestCli = 2;

/** @param said What `supabase --version` printed; undefined where there is none. */
export function checkCli(said: string | undefined): Finding {
  const check = "Supabase CLI";
  const install = "npm install --global supabase";
  if (said === undefined) return failed(check, "neither supabase nor npx is on the PATH", install);
  const version = /\d+\.\d+\.\d+\S*/.exec(said)?.[0];
  if (version === undefined) return failed(check, `it said ${said.slice(0, 200)}`, install);
  return Number(version.split(".")[0]) < oldestCli
    ? failed(check, `version ${version}; ${oldestCli} or later is needed`, install)
    : ok(check, `version ${version}`);
}

export function checkLink(linked: string | undefined, ofVault: string | undefined): Finding {
  const check = "link";
  if (linked === undefined) {
    return failed(
      check,
      "the folder is linked to no project",
      `supabase link --project-ref ${ofVault ?? "<ref>"}`,
    );
  }
  return ofVault !== undefined && ofVault !== linked
    ? failed(
      check,
      `the folder is linked to ${linked}, and project_url in Vault is of ${ofVault}`,
      `select vault.update_secret((select id from vault.secrets where name = 'project_url'), 'https://${linked}.supabase.co')`,
    )
    : ok(check, `linked to ${linked}`);
}

/** A project as `supabase projects list` has it. */
export interface ListedProject {
  ref: string;
  status: string;
}

/** @param said What the CLI said where it failed. */
export function checkProject(
  ref: string,
  projects: ListedProject[] | undefined,
  said: string,
): Finding {
  const check = "project";
  if (projects === undefined) {
    return /access token/i.test(said)
      ? failed(check, "the Supabase CLI is not signed in", "supabase login")
      : failed(
        check,
        `the Supabase CLI says ${said.slice(0, 300)}`,
        "supabase projects list --debug",
      );
  }
  const status = projects.find((project) => project.ref === ref)?.status;
  const page = `https://supabase.com/dashboard/project/${ref}`;
  if (status === undefined) {
    return failed(check, `${ref} is none of the projects that the CLI may see`, "supabase login");
  }
  if (/^(INACTIVE|PAUSED|PAUSING|GOING_DOWN)$/.test(status)) {
    return failed(check, `${ref} is paused`, `open ${page} and restore it`);
  }
  return /^ACTIVE_HEALTHY$/.test(status)
    ? ok(check, `${ref} is up`)
    : failed(check, `${ref} is ${status.toLowerCase().replaceAll("_", " ")}`, `open ${page}`);
}

/** A key as `supabase projects api-keys` has it. */
export interface ListedKey {
  type?: string | null;
}

export function checkKeys(ref: string, keys: ListedKey[] | undefined): Finding {
  const check = "legacy keys";
  if (keys === undefined) return skipped(check, "the Supabase CLI does not list the keys");
  const has = (type: string) => keys.some((key) => key.type === type);
  const page = `open https://supabase.com/dashboard/project/${ref}/settings/api-keys`;
  if (!has("secret")) {
    return warning(
      check,
      "the project has only the legacy JWT keys anon and service_role, and the functions work with those",
      `${page} and create a secret key`,
    );
  }
  return has("legacy")
    ? warning(
      check,
      "the functions work with the secret key, and the legacy JWT keys are still valid",
      `${page} and disable them, once nothing else uses them`,
    )
    : ok(check, "the functions work with a secret key, and the legacy ones are off");
}

/** A project's config.toml and daybook.json. */
export interface ProjectOnDisk {
  /** Of the Daybook in it; undefined where there is none. */
  version: string | undefined;
  functions: string[];
  /** Of those, the ones for which config.toml does not say verify_jwt = false. */
  behindJwt: string[];
}

export function checkConfig(project: ProjectOnDisk, folder: string): Finding {
  const check = "config.toml";
  if (project.version === undefined) {
    return failed(check, "there is no Daybook in the project", `deno task install ${folder}`);
  }
  return project.behindJwt.length > 0
    ? failed(
      check,
      `the gateway would refuse the secret for ${list(project.behindJwt)}: verify_jwt is not false`,
      `deno task upgrade ${folder}`,
    )
    : ok(check, `${count(project.functions.length, "function")}, none behind verify_jwt`);
}

/** What the functions said, by name. */
export type Answers = ReadonlyMap<string, Acceptance>;

/** @param whose Where the secret that they were asked with is from. */
export function checkSecret(answers: Answers, whose = "Vault"): Finding {
  const check = "secret of the functions";
  const of = (kind: Acceptance["kind"]) =>
    [...answers].filter(([, answer]) => answer.kind === kind).map(([name]) => name);
  const [refused, unclear, accepted] = [of("refused"), of("unclear"), of("accepted")];
  const behindGateway = refused.filter((name) => answers.get(name)!.detail !== undefined);
  if (behindGateway.length > 0) {
    return failed(
      check,
      `the gateway refuses the secret for ${list(behindGateway)}: verify_jwt is on`,
      "supabase functions deploy --no-verify-jwt",
    );
  }
  if (refused.length > 0) {
    return failed(
      check,
      `${list(refused)} ${refused.length === 1 ? "refuses" : "refuse"} the secret of ${whose}`,
      "deno task daybook rotate-secret --mend --reason '…' --author '…'",
    );
  }
  if (unclear.length > 0) {
    const said = answers.get(unclear[0]!)!.detail;
    const isUnset = /CRON_SECRET/.test(said ?? "");
    return failed(
      check,
      `${list(unclear)} ${unclear.length === 1 ? "answers" : "answer"} otherwise: ${said}`,
      isUnset
        ? "deno task daybook rotate-secret --mend --reason '…' --author '…'"
        : "supabase functions deploy",
    );
  }
  return accepted.length === 0
    ? skipped(check, "no function is deployed that could be asked")
    : ok(check, `${count(accepted.length, "function")} took the secret of ${whose}`);
}

/** @param expected The version that should be there. */
export function checkDeployed(answers: Answers, expected: string): Finding {
  const check = "functions deployed";
  const absent = [...answers].filter(([, { kind }]) => kind === "absent").map(([name]) => name);
  if (absent.length > 0) {
    return failed(
      check,
      `${list(absent)} ${absent.length === 1 ? "is" : "are"} not`,
      "supabase functions deploy",
    );
  }
  const other = [...answers].filter(([, { kind, version }]) =>
    kind === "accepted" && version !== expected
  );
  if (other.length > 0) {
    const versions = [...new Set(other.map(([, { version }]) => version ?? "0.10 or a fork"))];
    return failed(
      check,
      `${list(other.map(([name]) => name))} ${other.length === 1 ? "is" : "are"} of ${
        versions.join(" and ")
      }, and ${expected} should be there`,
      "supabase functions deploy",
    );
  }
  const current = [...answers.values()].filter(({ kind }) => kind === "accepted").length;
  return current === 0
    ? skipped(check, "no function took the secret, so none said of which version it is")
    : ok(check, `${count(current, "function")}, of version ${expected}`);
}

export function checkVersion(inDatabase: string, expected: string): Finding {
  return inDatabase === expected
    ? ok("migrations", `the database is of version ${expected}`)
    : failed(
      "migrations",
      `the database is of version ${inDatabase}, and ${expected} should be there`,
      "supabase db push",
    );
}

export function checkRotation(stage: string): Finding {
  return stage === "none" ? ok("rotation", "none is under way") : warning(
    "rotation",
    "a rotation of the cron secret has begun and not ended",
    "deno task daybook rotate-secret --reason '…' --author '…'",
  );
}

/** A job whose runs the platform ended lately, and how many of them. */
export interface CutJob {
  name: string;
  runs: number;
}

/** The wall clock of Supabase's paid plans, in seconds. */
const longestWallClock = 400;

/** @param cut In the last seven days; undefined where that is not known. */
export function checkWallClock(cut: CutJob[] | undefined, answers: Answers): Finding {
  const check = "wall clock";
  const told = [...answers.values()].flatMap(({ wallClockSeconds }) => wallClockSeconds ?? []);
  if (told.length === 0) return skipped(check, "no function said how long it may run");
  if (told.includes("invalid")) {
    return failed(
      check,
      "WALL_CLOCK_LIMIT_SECONDS of the functions is no positive number, and no job begins",
      "supabase secrets set WALL_CLOCK_LIMIT_SECONDS=150",
    );
  }
  const limit = Math.min(...told.map(Number));
  const ends = `the functions end after ${limit} s`;
  if (limit > longestWallClock) {
    return failed(
      check,
      `WALL_CLOCK_LIMIT_SECONDS says ${limit}, and no plan of Supabase has more than ${longestWallClock}`,
      `supabase secrets set WALL_CLOCK_LIMIT_SECONDS=${longestWallClock}`,
    );
  }
  if (cut === undefined || cut.length === 0) {
    return ok(check, `${ends}${cut === undefined ? "" : ", and none cut a run in seven days"}`);
  }
  const runs = cut.reduce((sum, job) => sum + job.runs, 0);
  return warning(
    check,
    `${ends}; ${count(runs, "run")} of ${list(cut.map(({ name }) => name))} ${
      runs === 1 ? "was" : "were"
    } cut in seven days`,
    limit < longestWallClock
      ? `supabase secrets set WALL_CLOCK_LIMIT_SECONDS=${longestWallClock} on a paid plan; else let each run do less`
      : "let each run do less, docs/writing-a-job.md",
  );
}

/** A check of `scheduler.verify()`. */
export interface DatabaseCheck {
  check_name: string;
  state: "ok" | "failed" | "asked";
  detail: string;
}

/** What verify() found, each with what mends it. */
export function databaseFinding({ check_name: check, state, detail }: DatabaseCheck): Finding {
  if (state === "ok") return ok(check, detail);
  return failed(check, detail, remedyOf(check, detail));
}

function remedyOf(check: string, detail: string): string {
  const [, extension] = /^extension (.+)$/.exec(check) ?? [];
  if (extension !== undefined) return `create extension ${extension}`;
  switch (check) {
    case "tables":
      return "supabase db push";
    case "entries of pg_cron":
      return "select scheduler.mend_cron_entries()";
    case "zone of the entries":
      return detail.includes("may not read")
        ? "grant pg_read_all_settings to that role, as a superuser"
        : "set cron.timezone to GMT in the server's configuration, and restart it";
    case "pulse":
      return detail.includes("failed in part")
        ? "select errors from scheduler.pulse_state"
        : "select scheduler.sync_pulse_entry()";
    case "row level security":
      return listed(detail.replace(/^off for /, "")).map((table) =>
        `alter table ${table} enable row level security;`
      ).join(" ");
    case "grants":
      return [...detail.replace(/^open: /, "").matchAll(/(\S.*?) to (anon|authenticated)(?:, |$)/g)]
        .map(([, thing, role]) =>
          thing!.includes("(")
            ? `revoke execute on function ${thing} from public, ${role};`
            : `revoke all on ${thing} from public, ${role};`
        ).join(" ");
    case "schema scheduler":
      return `revoke all on schema scheduler from ${detail.replace(/^open to /, "")}, public`;
    case "dependencies":
      return "select scheduler.register_job('<job>', depends_on => '{…}', …) for the job that it names";
    case "lock":
      return "supabase db push";
    case "Vault":
      return vaultRemedy(detail);
    case "secret":
      return secretRemedy(detail);
    case "clock":
      return "set the clock of the machine by NTP: sudo timedatectl set-ntp true";
  }
  return "docs/operations.md";
}

function vaultRemedy(detail: string): string {
  const name = detail.includes("project_url") ? "project_url" : "cron_secret";
  const value = name === "project_url"
    ? "https://<ref>.supabase.co"
    : "<CRON_SECRET of the functions>";
  return detail.includes("has no secret")
    ? `select vault.create_secret('${value}', '${name}')`
    : `select vault.update_secret((select id from vault.secrets where name = '${name}'), '${value}')`;
}

function secretRemedy(detail: string): string {
  if (detail.includes("not deployed")) return "supabase functions deploy";
  if (detail.includes("refuses it")) {
    return "deno task daybook rotate-secret --mend --reason '…' --author '…'";
  }
  return detail.includes("has not answered")
    ? "select net.worker_restart()"
    : "supabase functions deploy, and look at the function's log";
}

const listed = (text: string) => text.split(", ");

function list(names: string[]): string {
  return names.length <= 5
    ? names.join(", ")
    : `${names.slice(0, 5).join(", ")} and ${names.length - 5} more`;
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
