/** When to stop: Ctrl-C, SIGTERM, a closed terminal, or the end of what launched us. */
import process from "node:process";
import { listProcesses, type Process } from "../local/processes.ts";

const SIGNALS: Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGHUP"];
const WATCH_MS = 500;

export interface StopSignal {
  signal: AbortSignal;
  /** Stops for a reason of one's own. */
  stop(reason: string): void;
  /** From here on the signals do again what they do by default. */
  dispose(): void;
}

/**
 * Aborted by the first of these; its reason is a message. At a second signal the process ends at once: its
 * children see that and stop by themselves.
 */
export function stopSignal(): StopSignal {
  const controller = new AbortController();
  const stop = (reason: string) => {
    if (!controller.signal.aborted) controller.abort(new Error(reason));
  };
  const listeners = SIGNALS.map((name) => {
    const listener = () => {
      if (controller.signal.aborted) Deno.exit(130);
      stop(`Stopped by ${name}`);
    };
    Deno.addSignalListener(name, listener);
    return () => Deno.removeSignalListener(name, listener);
  });
  const launchers = findLaunchers();
  const watch = setInterval(() => {
    if (!launchers.every(isAlive)) stop("Stopped: what launched this has ended");
  }, WATCH_MS);
  Deno.unrefTimer(watch);
  return {
    signal: controller.signal,
    stop,
    dispose() {
      clearInterval(watch);
      for (const remove of listeners) remove();
    },
  };
}

/**
 * The processes between us and who typed the command: `npx` and `deno task`. A signal to `npx` ends it and
 * does not reach us, so that it ended is all there is to see.
 */
function findLaunchers(): number[] {
  const processes = new Map(listProcesses().map((process) => [process.pid, process]));
  const launchers: number[] = [];
  let pid = Deno.ppid;
  for (let found = processes.get(pid); found && isLauncher(found);) {
    launchers.push(pid);
    pid = found.parent;
    found = processes.get(pid);
  }
  return launchers;
}

/** `deno task`, `npx deno@…`, and the shell and node in between. npm writes its whole command as its name. */
export function isLauncher({ program, command }: Pick<Process, "program" | "command">): boolean {
  if (/^np[mx] exec\b/.test(program)) return true;
  return /^(.*\/)?(deno\S*|node|npm|npx|sh)$/.test(program) &&
    /\s(.*\W)?(deno|task)\b/.test(command.slice(program.length));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}
