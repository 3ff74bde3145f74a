/** One Postgres server in a directory of its own: made, started, stopped and killed. */
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { isCluster, makeCluster, refuseLiveServer } from "./cluster-files.ts";
import { startOnFreePort } from "./free-port.ts";
import { openLogFile } from "./log-file.ts";
import { canEnter, type OsUser, postgresUser } from "./os-user.ts";
import { findPostgres, type PostgresBinaries } from "./postgres-binaries.ts";
import { childrenOf } from "./processes.ts";
import { reachableDirectory } from "./reachable-directory.ts";
import { signal, startProcess, type SupervisedProcess } from "./supervised-process.ts";

export interface PostgresOptions {
  /** What belongs to this server is kept below it. */
  dataDirectory: string;
  /** 0 for any free one, chosen at the first start. */
  port: number;
  /** The password of the superuser `supabase_admin`. */
  adminPassword: string;
  /** The directory of another Postgres than the one from npm. */
  postgresBin?: string | undefined;
  /** Load the real pg_cron where the server has it; it then serves the database `postgres` alone. */
  pgCron?: boolean;
  /** Settings of the server, as in postgresql.conf. */
  settings?: Record<string, string>;
  onProgress?(message: string): void;
  /** Called when the server ends although it was neither stopped nor killed, and when its disk is full. */
  onDied?(message: string): void;
}

export interface PostgresServer {
  /** The directory that holds the database files. */
  cluster: string;
  binaries: PostgresBinaries;
  /** True when the real pg_cron runs in it. */
  pgCron: boolean;
  /** URL of the superuser `supabase_admin` for this database; known once it has started. */
  adminUrl(database?: string): string;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** SIGKILL of the server and all its backends: what a crash of the machine does to it. */
  kill(): Promise<void>;
}

const START_LIMIT_MS = 60_000;

/** Prepares a server; nothing runs before `start()`. Makes the database files when there are none. */
export async function preparePostgres(options: PostgresOptions): Promise<PostgresServer> {
  const onProgress = options.onProgress ?? (() => {});
  const user = await postgresUser(onProgress);
  const binaries = await findPostgres({
    postgresBin: options.postgresBin,
    user,
    reachableDirectory: () => reachableDirectory(options.dataDirectory),
    onProgress,
  });
  const home = await homeFor(user, options.dataDirectory, onProgress);
  const pgCron = (options.pgCron ?? true) && binaries.hasPgCron;
  const cluster = join(home, `postgres-${binaries.major}`);
  const adminUrl = (database = "postgres") =>
    `postgresql://supabase_admin:${options.adminPassword}@127.0.0.1:${port}/${database}`;
  let port = options.port;
  let process: SupervisedProcess | undefined;

  async function start() {
    if (port !== 0) return await startOn(port);
    await startOnFreePort(startOn).catch((error) => {
      port = 0;
      throw error;
    });
  }

  async function startOn(chosen: number) {
    port = chosen;
    let ready = false;
    await refuseLiveServer(cluster);
    if (!await isCluster(cluster)) {
      onProgress("Making the database files");
      await makeCluster(binaries, cluster, user, options.adminPassword);
    }
    const cannotGoOn = (message: string) => options.onDied?.(message);
    const log = await openLogFile(join(options.dataDirectory, "postgres.log"), cannotGoOn);
    const settings = {
      listen_addresses: "127.0.0.1",
      port: String(port),
      unix_socket_directories: "",
      max_connections: "100",
      timezone: "UTC",
      log_timezone: "UTC",
      wal_level: "logical",
      ...(pgCron ? PG_CRON_SETTINGS : {}),
      ...options.settings,
    };
    process = await startProcess({
      name: "Postgres",
      command: join(binaries.bin, "postgres"),
      args: [
        "-D",
        cluster,
        ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ],
      cwd: home,
      env: { LC_ALL: "C", PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
      clearEnv: true,
      ...(user === undefined ? {} : { user }),
      stopSignal: "INT",
      graceSeconds: 15,
      onLine(line) {
        log.write(line);
        if (saysDiskIsFull(line)) cannotGoOn(`Postgres cannot go on: ${line}`);
      },
      // A server that does not come up is reported by the error.
      onDied: (message) => ready && options.onDied?.(message),
    });
    process.ended.then(() => log.close());
    await waitUntilReady(adminUrl(), process);
    ready = true;
  }

  return {
    cluster,
    binaries,
    pgCron,
    adminUrl,
    start,
    async stop() {
      await process?.stop();
      process = undefined;
    },
    async kill() {
      if (!process) return;
      const backends = childrenOf(process.pid);
      const killed = process.kill();
      for (const backend of backends) signal(backend, "SIGKILL");
      await killed;
      process = undefined;
    },
  };
}

const PG_CRON_SETTINGS = {
  shared_preload_libraries: "pg_cron",
  "cron.database_name": "postgres",
  // Its other way, libpq to localhost, would need a password in a file.
  "cron.use_background_workers": "on",
  max_worker_processes: "40",
};

/** True for a line of the server's log that says so. Other statements than the one that failed would follow. */
export function saysDiskIsFull(line: string): boolean {
  return /\] (ERROR|FATAL|PANIC|WARNING|LOG): +could not .*: No space left on device$/.test(line);
}

/** Where the files of this server may lie: in its data directory, if the OS user of Postgres can enter it. */
async function homeFor(
  user: OsUser | undefined,
  dataDirectory: string,
  onProgress: (message: string) => void,
): Promise<string> {
  await Deno.mkdir(dataDirectory, { recursive: true, mode: 0o755 });
  if (user === undefined || await canEnter(user, dataDirectory)) return dataDirectory;
  const reachable = await reachableDirectory(dataDirectory);
  onProgress(
    `Keeping the database in ${reachable}: the OS user postgres cannot enter ${dataDirectory}`,
  );
  return reachable;
}

async function waitUntilReady(url: string, process: SupervisedProcess) {
  const limit = Date.now() + START_LIMIT_MS;
  let ended = false;
  process.ended.then(() => ended = true);
  let problem: unknown;
  while (Date.now() < limit) {
    if (ended) throw new Error(`Cannot start Postgres: ${process.lastLines()}`);
    const sql: Sql = postgres(url, {
      max: 1,
      connect_timeout: 2,
      fetch_types: false,
      onnotice: () => {},
    });
    try {
      await sql`select`;
      return;
    } catch (error) {
      problem = error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
  await process.kill();
  throw new Error(`Cannot start Postgres: no answer in ${START_LIMIT_MS / 1000} s`, {
    cause: problem,
  });
}
