/**
 * The process in which all edge functions run: `/<name>` calls the function of that folder.
 * Arguments: the port (0 for any), the file of the stack's keys (may be empty: none), and the directories that hold the
 * functions' folders.
 */
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { bootInstance, type FunctionInstance } from "./function-instance.ts";
import { fileTimes } from "./file-times.ts";
import { hideEnvironment } from "./hide-environment.ts";
import { cronVariables } from "./keys.ts";

const SHARED = fileURLToPath(new URL("../shared", import.meta.url));

/** How long work may go on after the process was told to stop; those who wait for it wait longer. */
const TERMINATION_MS = 5_000;

const [port, keys, ...directories] = Deno.args;
const watchesKeys = keys !== "" && await isReadable(keys!);
let keysRead: string | undefined;
const limits = { wallClockMs: wallClockSeconds() * 1000, terminationMs: TERMINATION_MS };
let hide = hideEnvironment(Deno.env.toObject());
const current = new Map<string, { instance: FunctionInstance; files: string }>();
const living = new Set<FunctionInstance>();

const server = Deno.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  onListen: ({ port }) => console.log(`functions listen on ${port}`),
}, async (request) => {
  await readCronSecrets();
  const name = new URL(request.url).pathname.split("/")[1] ?? "";
  const module = await findModule(name);
  if (module === undefined) {
    return Response.json(
      { code: "NOT_FOUND", message: "Requested function was not found" },
      { status: 404 },
    );
  }
  return await instanceOf(name, module).handle(request);
});

Deno.addSignalListener("SIGTERM", async () => {
  await Promise.all([...living].map((instance) => instance.unload("termination")));
  // Answers that were given while unloading still have to leave.
  await Promise.race([server.shutdown(), new Promise((done) => setTimeout(done, 1000))]);
  Deno.exit(0);
});

/** Deno reads nothing below /dev and /proc without every right: of a stack there the secrets stay as it started. */
async function isReadable(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    console.log(`The cron secrets stay those of the start: ${error.message}`);
    return false;
  }
}

/** Workers see the variables of this process. */
async function readCronSecrets() {
  if (!watchesKeys) return;
  const { ino, mtime } = await Deno.stat(keys!);
  // A rotation writes the file twice in a row, which may be within one tick of the file system's clock. Each time it is
  // another file, put in the place of the one before.
  const found = `${ino} ${mtime!.getTime()}`;
  if (found === keysRead) return;
  keysRead = found;
  const variables = cronVariables(JSON.parse(await Deno.readTextFile(keys!)));
  for (const [variable, value] of Object.entries(variables)) {
    if (value === null) Deno.env.delete(variable);
    else Deno.env.set(variable, value);
  }
  hide = hideEnvironment(Deno.env.toObject());
}

function instanceOf(name: string, module: string): FunctionInstance {
  const running = current.get(name);
  // A file that was edited is run by the next request, as with `supabase functions serve`.
  const files = fileTimes([dirname(fileURLToPath(module)), SHARED]);
  if (running?.instance.acceptsRequests() && files === running.files) return running.instance;
  const instance = bootInstance(name, module, limits, hide);
  current.set(name, { instance, files });
  living.add(instance);
  void instance.ended.then(() => living.delete(instance));
  return instance;
}

async function findModule(name: string): Promise<string | undefined> {
  // A longer name than a file may have is no function's.
  if (!/^[A-Za-z0-9_-]{1,255}$/.test(name)) return undefined;
  for (const directory of directories) {
    const file = resolve(join(directory, name, "index.ts"));
    try {
      if ((await Deno.stat(file)).isFile) return pathToFileURL(file).href;
    } catch (error) {
      const { NotFound, NotADirectory } = Deno.errors;
      if (!(error instanceof NotFound || error instanceof NotADirectory)) throw error;
    }
  }
  return undefined;
}

function wallClockSeconds(): number {
  const text = Deno.env.get("WALL_CLOCK_LIMIT_SECONDS") ?? "150";
  const seconds = Number(text);
  if (!(seconds > 0)) {
    throw new Error(
      `Cannot serve: WALL_CLOCK_LIMIT_SECONDS must be a positive number, got ${text}`,
    );
  }
  return seconds;
}
