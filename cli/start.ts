/** `deno task start`: the whole stack on this machine. See `deno task start --help`. */
import { fileURLToPath } from "node:url";
import { isPortFree } from "../local/free-port.ts";
import { readFunctionsEnv } from "../local/functions-env.ts";
import { removeData } from "../local/remove-data.ts";
import { type Stack, type StackOptions, startStack } from "../local/stack.ts";
import { keepDemoAlive } from "./demo-life.ts";
import { formatDuration, formatTable } from "./format-table.ts";
import { printRuns } from "./run-feed.ts";
import {
  announceStack,
  claimData,
  DEFAULT_DATA_DIRECTORY,
  withdrawStack,
} from "./running-stack.ts";
import { runEveryJobOnce } from "./run-once.ts";
import { parseStartCommand, type StartCommand, USAGE } from "./start-options.ts";
import { stopSignal } from "./stop-signal.ts";

const FUNCTIONS_ENV_FILE = fileURLToPath(new URL("../supabase/functions/.env", import.meta.url));

Deno.exit(await main());

async function main(): Promise<number> {
  let command: StartCommand;
  try {
    command = parseStartCommand(Deno.args);
  } catch (error) {
    console.error(`${message(error)}\n\n${USAGE}`);
    return 2;
  }
  if (command.help) {
    console.log(USAGE);
    return 0;
  }
  const dataDirectory = command.dataDirectory ?? DEFAULT_DATA_DIRECTORY;
  const { signal, stop, dispose } = stopSignal();
  const died: string[] = [];
  const onDied = (message: string) => {
    died.push(message);
    stop(message);
  };
  surviveLostConnections();
  let stack: Stack | undefined;
  let claim: Deno.FsFile | undefined;
  let reported = false;
  try {
    const databaseUrl = givenDatabase();
    assertPortsFree(command, databaseUrl === undefined);
    claim = await claimData(dataDirectory);
    if (command.fresh) await removeData(dataDirectory, console.log);
    stack = await start(command, { dataDirectory, databaseUrl, signal, onDied });
    if (command.once) return await runEveryJobOnce(stack.sql, console.log, signal) ? 0 : 1;
    await listDemoUser(stack);
    await announceStack(dataDirectory, stack.databaseUrl);
    await printStart(stack);
    await Promise.all([
      keepDemoAlive(stack.sql, console.log, signal),
      printRuns(stack.sql, await nameWidth(stack), console.log, signal),
    ]);
    return died.length > 0 ? 1 : 0;
  } catch (error) {
    // A person may stop what runs until it is stopped; jobs that were to run and did not are a failure.
    if (signal.aborted && died.length === 0) return command.once ? 1 : 0;
    console.error(message(error));
    reported = true;
    return 1;
  } finally {
    if (signal.aborted && !reported) console.log(message(signal.reason));
    if (stack) {
      console.log("Stopping");
      await withdrawStack(dataDirectory);
      await stack.stop().catch((error) => console.error(`While stopping: ${message(error)}`));
    }
    claim?.close();
    dispose();
  }
}

async function start(
  command: StartCommand,
  options: Pick<StackOptions, "dataDirectory" | "databaseUrl" | "signal" | "onDied">,
): Promise<Stack> {
  const file = command.envFile ?? FUNCTIONS_ENV_FILE;
  const given = { required: command.envFile !== undefined, onProgress: console.log };
  return await startStack({
    ...options,
    ports: { gateway: command.gatewayPort, postgres: command.databasePort },
    postgresBin: Deno.env.get("LOCAL_POSTGRES_BIN"),
    cron: !command.once,
    // So that a person can try a job with curl; the gateway is on loopback.
    env: { ALLOW_UNAUTHENTICATED_MANUAL_CALLS: "true", ...await readFunctionsEnv(file, given) },
    seed: true,
    onProgress: console.log,
  });
}

/**
 * When the server goes away at the wrong moment, the postgres library throws outside every `try`. The
 * stack then stops in order, or goes on, but never falls over with its parts half up.
 */
function surviveLostConnections() {
  const survive = (event: Event, error: unknown) => {
    const { stack = "", code = "" } = error as { stack?: string; code?: string };
    if (!stack.includes("/postgres/src/") && !code.startsWith("CONNECTION_")) return;
    event.preventDefault();
    console.error(`Lost a connection to the database: ${message(error)}`);
  };
  addEventListener("error", (event) => survive(event, event.error));
  addEventListener("unhandledrejection", (event) => survive(event, event.reason));
}

/** The server of DATABASE_URL, if there is one; it says which, and refuses one that others may share. */
function givenDatabase(): string | undefined {
  const url = Deno.env.get("DATABASE_URL");
  if (url === undefined) return undefined;
  const hosts = hostsOf(url);
  console.log(`Using the server of DATABASE_URL: ${hosts.join(", ")}`);
  for (const host of hosts) {
    if (/^(localhost|127(\.\d+){3}|\[?::1\]?)$/.test(host)) continue;
    throw new Error(
      `Cannot start on ${host}: this installs roles, stand-ins and demo data; it must be on loopback`,
    );
  }
  return url;
}

/** Every host that a client might connect to for this URL. */
function hostsOf(databaseUrl: string): string[] {
  if (!URL.canParse(databaseUrl)) {
    throw new Error(
      "Cannot start: DATABASE_URL must be a URL like postgresql://user:password@host/name",
    );
  }
  const { hostname, searchParams } = new URL(databaseUrl);
  return [
    hostname || "(no host)",
    ...["host", "hostaddr", "service"].flatMap((name) => searchParams.getAll(name)),
  ];
}

function assertPortsFree(command: StartCommand, ownDatabase: boolean) {
  const ports: [number, string][] = [[command.gatewayPort, "--port"]];
  if (ownDatabase) ports.push([command.databasePort, "--db-port"]);
  for (const [port, option] of ports) {
    if (isPortFree(port)) continue;
    throw new Error(
      `Cannot start: port ${port} is taken; stop what uses it or choose another with ${option}`,
    );
  }
}

/** Lists the demo user once; what a person has made of the row since then stays. */
async function listDemoUser({ sql, keys: { demoUser: { id, email } } }: Stack) {
  await sql`
    select scheduler.add_operator(${id}, 'operator', ${email}, 'the demo user of this machine', 'deno task start')
    where not exists (
      select from scheduler_audit where verb = 'add_operator' and after ->> 'user_id' = ${id})`;
}

async function printStart(stack: Stack) {
  const { keys, apiUrl } = stack;
  console.log(`
Daybook is up

${
    formatTable([
      ["  API", apiUrl],
      ["  Functions", `${apiUrl}/functions/v1/<name>`],
      ["  Database", stack.databaseUrl],
      ["  Secret key", keys.secretKey],
      ["  Publishable key", keys.publishableKey],
      ["  Service role JWT", keys.serviceRoleKey],
      ["  Anon JWT", keys.anonKey],
      ["  Cron secret", keys.cronSecret],
      ["  Sign in as", `${keys.demoUser.email} with ${keys.demoUser.password}`],
      ["  Functions' log", `${stack.dataDirectory}/functions.log`],
      ["  Demo data", "what says (demo) in its name is made up, and goes on while this runs"],
    ])
  }

Next runs
`);
  const next = await stack.sql<{ job_name: string; run_at: Date | null; note: string | null }[]>`
    select next.job_name, next.run_at, next.note
    from scheduler_jobs as jobs, lateral scheduler.next_runs(jobs.name, 1) as next
    where jobs.enabled order by next.run_at nulls last, next.job_name`;
  console.log(formatTable(next.map(({ job_name, run_at, note }) => [
    `  ${job_name}`,
    run_at === null ? "-" : run_at.toLocaleString("sv"),
    run_at === null ? "" : `in ${formatDuration(run_at.getTime() - Date.now())}`,
    note ?? "",
  ])));
  console.log("\nRuns, as they end (Ctrl-C stops)\n");
}

async function nameWidth(stack: Stack): Promise<number> {
  const [row] = await stack.sql<{ width: number | null }[]>`
    select max(length(name)) as width from public.scheduler_jobs`;
  return row?.width ?? 0;
}

function message(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ((error as { code?: string }).code !== "ENOSPC") return error.message;
  return `Cannot start: the disk is full; free some space, or keep the data elsewhere with --data (${error.message})`;
}
