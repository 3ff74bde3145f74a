/** The process of the edge functions, as the stack sees it. */
import { fileURLToPath } from "node:url";
import { startProcess, type SupervisedProcess } from "./supervised-process.ts";

export interface FunctionsOptions {
  /** The directories that hold the functions' folders. */
  directories: string[];
  /** What the functions see of the environment. */
  env: Record<string, string>;
  /** 0 for any free one. */
  port: number;
  /** The keys of the stack (see keys.ts): the cron secrets in it may change while the functions run. */
  keysFile?: string;
  onLine?(line: string): void;
  /** Called when it ends although it was neither stopped nor killed. */
  onDied?(message: string): void;
}

export interface FunctionsHost {
  /** Where they listen; undefined while they do not. */
  url(): string | undefined;
  start(): Promise<void>;
  /** In order: every function hears `beforeunload` and gets some seconds. */
  stop(): Promise<void>;
  /** SIGKILL: no function is told. */
  kill(): Promise<void>;
}

/** Not started yet. */
export function functionsHost(options: FunctionsOptions): FunctionsHost {
  let process: SupervisedProcess | undefined;
  let url: string | undefined;
  return {
    url: () => url,
    async start() {
      const listening = Promise.withResolvers<string>();
      const started = await startProcess({
        name: "the functions",
        command: Deno.execPath(),
        args: [
          "run",
          "--no-prompt",
          "--no-check",
          ...["--allow-net", "--allow-env", "--allow-read", "--allow-sys"],
          "--config",
          fileURLToPath(new URL("../deno.json", import.meta.url)),
          fileURLToPath(new URL("functions-server.ts", import.meta.url)),
          String(options.port),
          options.keysFile ?? "",
          ...options.directories,
        ],
        clearEnv: true,
        env: { ...inherited("PATH", "HOME", "DENO_DIR", "TMPDIR", "LANG"), ...options.env },
        stopSignal: "TERM",
        graceSeconds: 10,
        onLine(line) {
          const port = /^functions listen on (\d+)$/.exec(line)?.[1];
          if (port) listening.resolve(port);
          else options.onLine?.(line);
        },
        ...(options.onDied ? { onDied: options.onDied } : {}),
      });
      process = started;
      void started.ended.then(() => {
        if (process === started) url = undefined;
        listening.reject(new Error(`Cannot start the functions: ${started.lastLines()}`));
      });
      url = `http://127.0.0.1:${await listening.promise}`;
    },
    async stop() {
      await process?.stop();
    },
    async kill() {
      await process?.kill();
    },
  };
}

function inherited(...names: string[]): Record<string, string> {
  const values = names.map((name) => [name, Deno.env.get(name)] as const);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
}
