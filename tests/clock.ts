/** `deno task test-clock`: the tests with the clock of every process set to other moments. See `--help`. */
import { fileURLToPath } from "node:url";
import { readArguments } from "../cli/arguments.ts";
import { stopSignal } from "../cli/stop-signal.ts";
import { momentOf, moments } from "./support/moments.ts";

const USAGE =
  `Run the tests with the clock set. Needs Linux and libfaketime (Debian: apt-get install faketime).

deno task test-clock [moments] [files and folders] [options]

  moments            ${Object.keys(moments).slice(0, 24).join(" ")}
                     ${Object.keys(moments).slice(24).join(" ")}
                     or a time like 2026-06-01T12:00+02:00 (all of the list, which takes hours)
                     Ahead of the true time no timeout of Postgres fires: tests that wait for one are skipped
  files and folders  which tests (all)
  --help             this text`;

const { positionals } = readArguments(USAGE, {}, { allowPositionals: true });
const chosen = positionals.filter((argument) => momentOf(argument) !== undefined);
const paths = positionals.filter((argument) => momentOf(argument) === undefined);
const { signal } = stopSignal();
const library = await findLibrary();
if (library === undefined) {
  console.error(
    "Cannot set the clock: libfaketime is not there; install it with apt-get install faketime",
  );
  Deno.exit(1);
}
const summaries: { moment: string; summary: string; success: boolean }[] = [];
for (const moment of chosen.length > 0 ? chosen : Object.keys(moments)) {
  if (signal.aborted) break;
  await removeLeftovers();
  console.log(`\n${moment}: the clock says ${momentOf(moment)!.toISOString()}`);
  summaries.push({ moment, ...await runAt(momentOf(moment)!, library) });
}
console.log("");
for (const { moment, summary } of summaries) console.log(`${moment.padEnd(20)}  ${summary}`);
const failed = summaries.filter(({ success }) => !success).length;
console.log(`${summaries.length - failed} moments passed, ${failed} failed`);
Deno.exit(failed > 0 || summaries.length === 0 ? 1 : 0);

/**
 * One run of the tests whose clocks begin at the moment. By an offset to the true time, not by a time of day: a clock
 * that is set to a time begins at it anew in every process, and no two of them would agree.
 */
async function runAt(moment: Date, library: string) {
  const offset = Math.round((moment.getTime() - Date.now()) / 1000);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", fileURLToPath(new URL("run.ts", import.meta.url)), ...paths],
    env: {
      LD_PRELOAD: library,
      FAKETIME: `${offset < 0 ? "" : "+"}${offset}`,
      // Durations are measured, timers wait and files keep their times as ever.
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
      NO_COLOR: "1",
    },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const stop = () => child.kill("SIGTERM");
  signal.addEventListener("abort", stop);
  let summary = "";
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) console.log(summary = line);
  }
  const { success } = await child.status;
  signal.removeEventListener("abort", stop);
  return { summary, success };
}

/**
 * libfaketime keeps a file in memory for each process, which stays when the process is killed. A later process with the
 * same number that another OS user runs cannot open it, and ends.
 */
async function removeLeftovers(): Promise<void> {
  const memory = "/dev/shm";
  for await (const { name } of Deno.readDir(memory)) {
    const pid = /^(?:sem\.)?faketime_(?:shm|sem)_(\d+)$/.exec(name)?.[1];
    if (pid === undefined) continue;
    const isAlive = await Deno.stat(`/proc/${pid}`).then(() => true, () => false);
    if (!isAlive) await Deno.remove(`${memory}/${name}`).catch(() => {});
  }
}

async function findLibrary(): Promise<string | undefined> {
  for (const parent of ["/usr/lib", "/usr/lib64"]) {
    const folders = [parent];
    try {
      for await (const { name } of Deno.readDir(parent)) folders.push(`${parent}/${name}`);
    } catch {
      continue;
    }
    for (const folder of folders) {
      const file = `${folder}/faketime/libfaketime.so.1`;
      if (await Deno.stat(file).then(() => true, () => false)) return file;
    }
  }
  return undefined;
}
