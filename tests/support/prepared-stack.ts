/** A stack's data with all migrations applied, made once in a run of the tests: a copy of it starts in half the time. */
import { join } from "node:path";
import { startStack } from "../../local/stack.ts";
import { requiredEnv } from "./database.ts";
import { makeServerDirectory } from "./server-directory.ts";

/** A temporary directory with a copy. Its keys are those of all the copies, and no job has come due in it. */
export async function copyOfPreparedStack(prefix: string, postgresBin?: string): Promise<string> {
  const prepared = await preparedStack(
    join(
      requiredEnv("DAYBOOK_TEST_DIRECTORY"),
      postgresBin === undefined ? "stack" : "second-stack",
    ),
    postgresBin,
  );
  const directory = await makeServerDirectory(prefix);
  const { success } = await new Deno.Command("cp", {
    args: ["-a", `${prepared}/.`, directory],
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot copy ${prepared}`);
  return directory;
}

/** Whoever comes first makes it, and the others wait for that. */
async function preparedStack(directory: string, postgresBin?: string): Promise<string> {
  using lock = await Deno.open(`${directory}.lock`, { create: true, write: true });
  await lock.lock(true);
  try {
    await Deno.stat(directory);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const unfinished = `${directory}.unfinished`;
    await Deno.mkdir(unfinished, { recursive: true });
    await Deno.chmod(unfinished, 0o755);
    const stack = await startStack({
      dataDirectory: unfinished,
      postgresBin,
      cron: false,
      realCron: false,
      settings: { fsync: "off", full_page_writes: "off" },
    });
    await stack.stop();
    await Deno.rename(unfinished, directory);
  }
  return directory;
}
