/** The whole stack on one machine: what `deno task start` runs and what the stack tests run against. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import postgres, { type Sql } from "postgres";
import { backgroundWorkers } from "./background-workers.ts";
import { bootstrapDatabase, makeLogin, type StandIns } from "./bootstrap.ts";
import { functionsHost } from "./functions.ts";
import { type Auth, createAuth } from "./auth.ts";
import { type Gateway, startGateway } from "./gateway.ts";
import { keysFile, loadKeys, type StackKeys } from "./keys.ts";
import { openLogFile } from "./log-file.ts";
import { applyMigrations, loadSeed, readMigrations } from "./migrations.ts";
import { type ModelFaults, type ModelServer, startModelServer } from "./model-server.ts";
import { preparePostgres } from "./postgres.ts";
import { startRest } from "./rest.ts";
import { storeSecrets } from "./store-secrets.ts";

export interface StackOptions {
  /** Where data, keys and logs are kept. A temporary one, removed by `stop`, when absent. */
  dataDirectory?: string;
  /** Makes the temporary one. Default: an empty one where the system has such. */
  makeTemporary?(prefix: string): Promise<string>;
  /** 0 or absent for any free one. */
  ports?: Partial<Record<"gateway" | "postgres" | "rest" | "functions", number>>;
  /** The directory of another Postgres than the one from npm. */
  postgresBin?: string | undefined;
  /** URL of a superuser: use this server, start none. */
  databaseUrl?: string | undefined;
  /** False when no job may fire by itself. Default true. */
  cron?: boolean;
  /** False for the stand-in of pg_cron, also where the server has the real one. Default: true unless no job may fire in temporary data. */
  realCron?: boolean;
  /** Default `["supabase/functions"]`. */
  functionsDirectories?: string[];
  /** Default `supabase/migrations`. */
  migrationsDirectory?: string;
  /** More environment for the functions. */
  env?: Record<string, string>;
  /** How the model provider of this machine behaves. Default: it answers at once. */
  models?: ModelFaults & { seed?: number };
  /** Load supabase/seed.sql into a fresh database. Default false. */
  seed?: boolean;
  /** Settings of Postgres. */
  settings?: Record<string, string>;
  /** Stops the start between two of its steps; what runs already is stopped. */
  signal?: AbortSignal;
  onProgress?(message: string): void;
  /** Called when a part of the stack ends although it was neither stopped nor killed, or cannot go on: the disk is full. */
  onDied?(message: string): void;
}

export interface Stack {
  /** The gateway. */
  apiUrl: string;
  /** The database as the role `postgres`. */
  databaseUrl: string;
  /** The database as a superuser. */
  adminUrl: string;
  dataDirectory: string;
  /** As the role `postgres`; it knows no arrays, neither as parameters nor in rows. */
  sql: Sql;
  keys: StackKeys;
  /** Which extensions are stand-ins here. */
  standIns: StandIns;
  functions: {
    /** SIGKILL. */
    kill(): Promise<void>;
    start(): Promise<void>;
    stop(): Promise<void>;
  };
  postgres: {
    /** SIGKILL of the whole server. */
    kill(): Promise<void>;
    start(): Promise<void>;
  };
  net: { pause(): void; resume(): void };
  /** The model provider of this machine: LOCAL_MODEL_API_URL and LOCAL_MODEL_API_KEY of the functions. */
  models: ModelServer;
  /** The users of this machine. */
  auth: Pick<Auth, "addUser">;
  stop(): Promise<void>;
}

const FUNCTIONS_DIRECTORY = fileURLToPath(new URL("../supabase/functions", import.meta.url));

/** Starts everything. When a part does not start, what runs is stopped before this throws. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const parts: (() => Promise<void>)[] = [];
  const stop = async () => {
    const problems: unknown[] = [];
    for (let part = parts.pop(); part; part = parts.pop()) {
      await part().catch((problem) => problems.push(problem));
    }
    if (problems.length > 0) throw problems[0];
  };
  try {
    return await startParts(options, parts, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

/** `parts` gets the stop of each part as it comes up; they are stopped in the opposite order. */
async function startParts(
  options: StackOptions,
  parts: (() => Promise<void>)[],
  stop: () => Promise<void>,
): Promise<Stack> {
  const onProgress = (message: string) => {
    options.signal?.throwIfAborted();
    options.onProgress?.(message);
  };
  const died = options.onDied ? { onDied: options.onDied } : {};
  const dataDirectory = options.dataDirectory ?? await temporaryDirectory(options, parts);
  const keys = await loadKeys(dataDirectory);
  const logFile = await openLogFile(
    join(dataDirectory, "functions.log"),
    (message) => options.onDied?.(message),
  );
  parts.push(() => Promise.resolve(logFile.close()));
  const log = logFile.write;
  const server = await startDatabase(options, dataDirectory, keys.databasePassword);
  parts.push(server.stop);
  const { adminUrl } = server;

  onProgress("Preparing roles and extensions");
  const admin = postgres(adminUrl, { max: 1, onnotice: () => {}, fetch_types: false });
  parts.push(() => admin.end({ timeout: 1 }));
  const own = options.databaseUrl === undefined;
  const password = keys.databasePassword;
  const standIns = await bootstrapDatabase(admin, own ? { password, onProgress } : { onProgress });
  // A server that is not ours keeps its passwords: there a login of our own is the role postgres.
  const databaseUrl = urlAs(
    adminUrl,
    own ? "postgres" : await makeLogin(admin, password),
    password,
  );
  await migrate(databaseUrl, options, onProgress);
  // The types that it fetches when it connects serve arrays alone, and no code could catch that failure.
  const sql = postgres(databaseUrl, { max: 5, onnotice: () => {}, fetch_types: false });
  parts.push(() => sql.end({ timeout: 1 }));

  onProgress("Starting the REST server");
  const rest = await startRest({
    databaseUrl: own
      ? urlAs(adminUrl, "authenticator", password)
      : withOptions(databaseUrl, "-c statement_timeout=8s"),
    jwtSecret: keys.jwtSecret,
    serviceRoleKey: keys.serviceRoleKey,
    port: options.ports?.rest ?? 0,
    dataDirectory,
    onLine: (line) => log(`rest: ${line}`),
    ...died,
  });
  parts.push(rest.stop);

  const auth = createAuth({
    signingKey: keys.userSigningKey,
    issuer: () => `${gateway.url}/auth/v1`,
    users: [keys.demoUser],
  });
  const gateway: Gateway = startGateway({
    port: options.ports?.gateway ?? 0,
    keys,
    auth,
    rest: () => rest.url,
    functions: () => functions.url(),
  });
  parts.push(gateway.stop);
  await storeSecrets(sql, {
    project_url: gateway.url,
    ...(await isBeingRotated(sql, keys) ? {} : { cron_secret: keys.cronSecret }),
  });

  onProgress("Starting the functions");
  const models = await startModelServer(options.models);
  parts.push(models.stop);
  const functions = functionsHost({
    directories: options.functionsDirectories ?? [FUNCTIONS_DIRECTORY],
    port: options.ports?.functions ?? 0,
    keysFile: keysFile(dataDirectory),
    env: functionsEnv(gateway.url, databaseUrl, keys, models, options.env),
    onLine: (line) => log(line),
    ...died,
  });
  parts.push(functions.stop);
  await functions.start();

  const workers = backgroundWorkers(adminUrl, standIns, options.cron ?? true, log);
  parts.push(workers.stop);
  await workers.start();

  return {
    apiUrl: gateway.url,
    databaseUrl,
    adminUrl,
    dataDirectory,
    sql,
    keys,
    standIns,
    functions,
    postgres: {
      async kill() {
        await server.kill();
        // pg_cron and pg_net live in the server and die with it.
        await workers.stop();
      },
      async start() {
        await server.start();
        await workers.start();
      },
    },
    net: { pause: workers.pause, resume: workers.resume },
    models,
    auth,
    stop,
  };
}

/** Whether requests still carry the secret before: a rotation that was stopped goes on from there. */
async function isBeingRotated(sql: Sql, keys: StackKeys): Promise<boolean> {
  if (keys.previousCronSecret === undefined) return false;
  const [row] = await sql`
    select decrypted_secret as secret from vault.decrypted_secrets where name = 'cron_secret'`;
  return row?.secret === keys.previousCronSecret;
}

async function migrate(
  databaseUrl: string,
  { migrationsDirectory, seed = false }: StackOptions,
  onProgress: (message: string) => void,
) {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    await applyMigrations(sql, await readMigrations(migrationsDirectory), onProgress);
    if (seed && await loadSeed(sql)) onProgress("Loaded the demo data");
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function startDatabase(options: StackOptions, dataDirectory: string, password: string) {
  if (options.databaseUrl !== undefined) {
    const refuse = () => {
      throw new Error("Cannot do this to a database that the stack did not start");
    };
    return {
      adminUrl: options.databaseUrl,
      start: () => Promise.resolve(refuse()),
      stop: () => Promise.resolve(),
      kill: () => Promise.resolve(refuse()),
    };
  }
  const server = await preparePostgres({
    dataDirectory,
    port: options.ports?.postgres ?? 0,
    adminPassword: password,
    postgresBin: options.postgresBin,
    // Data that the real pg_cron has entries in cannot be opened without it.
    pgCron: options.realCron ?? (options.cron !== false || options.dataDirectory !== undefined),
    settings: options.settings ?? {},
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    ...(options.onDied ? { onDied: options.onDied } : {}),
  });
  options.signal?.throwIfAborted();
  options.onProgress?.(`Starting Postgres ${server.binaries.major}`);
  await server.start();
  // Where it listens is known only now.
  return { adminUrl: server.adminUrl(), start: server.start, stop: server.stop, kill: server.kill };
}

function functionsEnv(
  apiUrl: string,
  databaseUrl: string,
  keys: StackKeys,
  models: ModelServer,
  more: Record<string, string> = {},
): Record<string, string> {
  return {
    SUPABASE_URL: apiUrl,
    SUPABASE_DB_URL: databaseUrl,
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
    SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleKey,
    SUPABASE_ANON_KEY: keys.anonKey,
    CRON_SECRET: keys.cronSecret,
    WALL_CLOCK_LIMIT_SECONDS: "150",
    LOCAL_MODEL_API_URL: models.url,
    LOCAL_MODEL_API_KEY: models.key,
    ...more,
  };
}

async function temporaryDirectory(
  { makeTemporary = makeOpenDirectory }: StackOptions,
  parts: (() => Promise<void>)[],
): Promise<string> {
  const directory = await makeTemporary("daybook-");
  parts.push(() => Deno.remove(directory, { recursive: true }));
  return directory;
}

/** Postgres may run as another user than we do. */
async function makeOpenDirectory(prefix: string): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix });
  await Deno.chmod(directory, 0o755);
  return directory;
}

function withOptions(databaseUrl: string, options: string): string {
  const url = new URL(databaseUrl);
  url.searchParams.set("options", options);
  // libpq does not read a plus as a blank.
  return url.href.replaceAll("+", "%20");
}

function urlAs(adminUrl: string, user: string, password: string): string {
  const url = new URL(adminUrl);
  url.username = user;
  url.password = password;
  return url.href;
}
