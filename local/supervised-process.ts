/**
 * Child processes that never outlive this one.
 *
 * A process killed with -9 cannot clean up, so each child runs under a few lines of shell that read from
 * a pipe we hold: when the pipe closes, for whatever reason, the child is told to stop, and after a grace
 * time it is killed. Each has a process group of its own, because Ctrl-C in a terminal is sent to the
 * whole foreground group and the order in which the parts stop is ours to decide.
 */
import { atMost } from "../shared/at-most.ts";
import { clockEnv } from "./clock-env.ts";

const SUPERVISOR = `
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
(
  trap '[ -n "$nap" ] && kill "$nap" && wait "$nap"; exit' USR1
  read -r nothing <&3
  kill -s "$stop_signal" "$child"
  for second in $grace; do
    sleep 1 &
    nap=$!
    wait "$nap"
    kill -0 "$child" || exit
  done
  kill -s KILL "$child"
) >/dev/null 2>&1 &
guard=$!
trap '' INT TERM HUP
echo "supervised $child" >&2
exec 3<&- 2>/dev/null
wait "$child"
status=$?
kill -s USR1 "$guard"
wait "$guard"
exit "$status"
`;

export interface ProcessOptions {
  /** What messages call it. */
  name: string;
  command: string;
  args: string[];
  cwd?: string;
  env?: Record<string, string>;
  /** True when the child sees `env` and nothing of ours. */
  clearEnv?: boolean;
  /** The OS user to run as; only root may set it. */
  user?: { uid: number; gid: number };
  /** The signal that means "stop in order" to this program. */
  stopSignal: "INT" | "TERM";
  /** How long it may take before it is killed, in seconds. */
  graceSeconds: number;
  /** Receives each line of stdout and stderr. */
  onLine?(line: string): void;
  /** Called when it ends although it was neither stopped nor killed. */
  onDied?(message: string): void;
}

export interface SupervisedProcess {
  pid: number;
  /** Resolves when the process is gone, with its exit code. */
  ended: Promise<number>;
  /** The last lines it wrote, for the message of an error. */
  lastLines(): string;
  /** Asks it to stop, waits, and kills it when the grace time is over. */
  stop(): Promise<void>;
  /** SIGKILL, as a crash would have it. */
  kill(): Promise<void>;
}

const KEPT_LINES = 20;
const LAST_WORDS_MS = 1000;

/** Starts a process that ends when we do. Throws when the program cannot be run. */
export async function startProcess(options: ProcessOptions): Promise<SupervisedProcess> {
  const grace = Array.from({ length: options.graceSeconds }, (_, index) => index + 1).join(" ");
  const prelude = `stop_signal=${options.stopSignal}\ngrace='${grace}'\n`;
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", prelude + SUPERVISOR, "sh", options.command, ...options.args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    detached: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...clockEnv(), ...options.env },
    ...(options.clearEnv === undefined ? {} : { clearEnv: options.clearEnv }),
    ...(options.user === undefined ? {} : options.user),
  }).spawn();

  const lines: string[] = [];
  let expected = false;
  const started = Promise.withResolvers<number>();
  const onLine = (line: string) => {
    const supervised = /^supervised (\d+)$/.exec(line);
    if (supervised) return started.resolve(Number(supervised[1]));
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    options.onLine?.(line);
  };
  const read = Promise.all([readLines(child.stdout, onLine), readLines(child.stderr, onLine)]);
  const ended = child.status.then(async (status) => {
    // A grandchild that lives a little longer holds the other end of the pipes.
    await atMost(LAST_WORDS_MS, read);
    started.reject(new Error(`Cannot start ${options.name}: ${lines.join("\n")}`));
    if (!expected) {
      options.onDied?.(`${options.name} ended by itself: ${lines.slice(-3).join("\n")}`);
    }
    return status.code;
  });
  started.promise.catch(() => {});
  const stdin = child.stdin.getWriter();
  stdin.closed.catch(() => {});

  const pid = await started.promise;
  return {
    pid,
    ended,
    lastLines: () => lines.join("\n"),
    async stop() {
      expected = true;
      await stdin.close().catch(() => {});
      await ended;
    },
    async kill() {
      expected = true;
      signal(pid, "SIGKILL");
      await stdin.close().catch(() => {});
      await ended;
    },
  };
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void) {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  }
  if (rest !== "") onLine(rest);
}

/** Sends a signal; false when there is no such process. */
export function signal(pid: number, name: Deno.Signal): boolean {
  try {
    Deno.kill(pid, name);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || isNoSuchProcess(error)) return false;
    throw error;
  }
}

function isNoSuchProcess(error: unknown): boolean {
  return error instanceof Error && (error as Error & { code?: string }).code === "ESRCH";
}
