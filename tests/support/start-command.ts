/** `deno task start` as a process, with data and ports of its own. */
import { fileURLToPath } from "node:url";
import { freePort } from "../../local/free-port.ts";
import { childrenOf, listProcesses } from "../../local/processes.ts";
import { signal } from "../../local/supervised-process.ts";
import { makeServerDirectory } from "./server-directory.ts";
import { waitUntil } from "./wait-until.ts";

const PROGRAM = fileURLToPath(new URL("../../cli/start.ts", import.meta.url));

export interface StartCommand {
  pid: number;
  /** Everything printed so far. */
  lines: string[];
  /** Resolves with the line that matches once it is printed; throws when the process ends without it. */
  line(pattern: RegExp): Promise<string>;
  /** The exit code. */
  ended: Promise<number>;
  kill(signal: Deno.Signal): void;
  /** The process it started that runs this program. */
  child(program: string): number;
  /** The processes that it and its children have started and that are alive now. */
  leftovers(): number[];
}

export interface Place {
  dataDirectory: string;
  port: number;
  databasePort: number;
  start(args?: string[], env?: Record<string, string>): StartCommand;
}

/** Ports for starts alone: between two starts nothing listens on them. */
export const PORTS = { first: 15_000, last: 19_999 };

/** A place where the stack may be started again and again; removed afterwards. */
export async function withPlace(fn: (place: Place) => Promise<void>): Promise<void> {
  const parent = await makeServerDirectory("daybook-start-");
  const dataDirectory = `${parent}/data`;
  const port = freePort(PORTS);
  const databasePort = freePort(PORTS);
  const commands: StartCommand[] = [];
  try {
    await fn({
      dataDirectory,
      port,
      databasePort,
      start(args = [], env = {}) {
        const place = [
          "--data",
          dataDirectory,
          "--port",
          `${port}`,
          "--db-port",
          `${databasePort}`,
        ];
        const command = run([...place, ...args], env);
        commands.push(command);
        return command;
      },
    });
  } finally {
    for (const command of commands) {
      command.kill("SIGTERM");
      await command.ended;
    }
    await Deno.remove(parent, { recursive: true });
  }
}

function run(args: string[], env: Record<string, string>): StartCommand {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", PROGRAM, ...args],
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const seen = new Set<number>();
  const watch = setInterval(() => descendants(child.pid).forEach((pid) => seen.add(pid)), 100);
  let over = false;
  const read = [child.stdout, child.stderr].map(async (stream) => {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      lines.push(...parts);
    }
  });
  const ended = child.status.then(async (status) => {
    clearInterval(watch);
    await Promise.all(read);
    over = true;
    return status.code;
  });
  return {
    pid: child.pid,
    lines,
    ended,
    async line(pattern) {
      return await waitUntil(`a line like ${pattern} in:\n${lines.join("\n")}`, () => {
        const line = lines.find((line) => pattern.test(line));
        if (line === undefined && over) {
          throw new Error(`No line like ${pattern} in:\n${lines.join("\n")}`);
        }
        if (line !== undefined) descendants(child.pid).forEach((pid) => seen.add(pid));
        return line;
      }, 60_000);
    },
    kill: (name) => {
      signal(child.pid, name);
    },
    child(program) {
      const own = new Set(descendants(child.pid));
      const found = listProcesses().find(({ pid, command }) =>
        own.has(pid) && command.includes(program) && !command.includes("/bin/sh -c")
      );
      if (!found) throw new Error(`No process of ${child.pid} runs ${program}`);
      return found.pid;
    },
    leftovers: () => [...seen].filter((pid) => pid !== child.pid && signal(pid, "SIGCONT")),
  };
}

const descendants = (pid: number) => childrenOf(pid, "descendants");
