/** `deno task daybook <verb>`: what an operator asks and does. See `--help`. */
import { type ExitCode, exitCodes, type Io } from "./daybook/io.ts";
import { runProgram } from "./daybook/program.ts";
import { wantsColours } from "./daybook/render.ts";
import { pause } from "./run-feed.ts";
import { databaseUrl } from "./running-stack.ts";
import { stopSignal } from "./stop-signal.ts";

const stop = stopSignal();
const closed = new AbortController();

/** Who reads may have had enough, `| head` say: what follows is not printed. */
function write(stream: typeof Deno.stdout | typeof Deno.stderr, text: string): void {
  let bytes = new TextEncoder().encode(`${text}\n`);
  try {
    while (!closed.signal.aborted && bytes.length > 0) {
      bytes = bytes.subarray(stream.writeSync(bytes));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    closed.abort();
  }
}

const signal = AbortSignal.any([stop.signal, closed.signal]);
const io: Io = {
  env: (name) => Deno.env.get(name),
  print: (text) => write(Deno.stdout, text),
  complain: (text) => write(Deno.stderr, text),
  now: () => new Date(),
  pause: (ms) => pause(ms, signal),
  zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  colours: wantsColours(Deno.stdout.isTerminal(), Deno.env.get("NO_COLOR")),
  stackDatabase: () => databaseUrl(undefined),
  signal,
};
const stopped = new Promise<ExitCode>((resolve) =>
  stop.signal.addEventListener("abort", () => resolve(exitCodes.stopped))
);
Deno.exit(await Promise.race([runProgram(Deno.args, io), stopped]));
