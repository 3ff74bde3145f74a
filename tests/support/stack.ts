import { fileURLToPath } from "node:url";
import { type Stack, type StackOptions, startStack } from "../../local/stack.ts";
import { putOff } from "./put-off.ts";
import { makeServerDirectory } from "./server-directory.ts";
import { copyOfPreparedStack } from "./prepared-stack.ts";

export type { Stack, StackOptions };

const FUNCTIONS = [
  fileURLToPath(new URL("../../supabase/functions", import.meta.url)),
  fileURLToPath(new URL("../stack/functions", import.meta.url)),
];

/**
 * Runs `fn` with a whole stack of its own and stops it afterwards. The functions of tests/stack/functions
 * are there as well. Where pg_cron stands still, no job comes due but by `fire`.
 */
export async function withStack(
  options: StackOptions,
  fn: (stack: Stack) => Promise<void>,
): Promise<void> {
  const postgresBin = options.postgresBin ?? Deno.env.get("DAYBOOK_TEST_POSTGRES_BIN");
  const stack = await startStack({
    functionsDirectories: FUNCTIONS,
    settings: { fsync: "off", full_page_writes: "off" },
    makeTemporary: options.cron === false && options.migrationsDirectory === undefined &&
        options.postgresBin === undefined
      ? (prefix) => copyOfPreparedStack(prefix, postgresBin)
      : makeServerDirectory,
    ...options,
    postgresBin,
  });
  try {
    // A dispatch takes along all that is due: a job of every five minutes, say, when the test meets such a minute.
    if (options.cron === false) await putOff(stack.sql);
    await fn(stack);
  } finally {
    await stack.stop();
  }
}
