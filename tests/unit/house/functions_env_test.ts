import assert from "node:assert/strict";
import { readFunctionsEnv } from "../../../local/functions-env.ts";

Deno.test("readFunctionsEnv() reads names and values, and refuses what the stack sets itself", async () => {
  const file = await Deno.makeTempFile({ suffix: ".env" });
  try {
    await Deno.writeTextFile(
      file,
      '# a comment\nMAIL_KEY=a=b\nexport GREETING="two words"\nSUPABASE_URL=x\nCRON_SECRET=y\n',
    );
    const messages: string[] = [];
    assert.deepEqual(
      await readFunctionsEnv(file, { onProgress: (message) => messages.push(message) }),
      { MAIL_KEY: "a=b", GREETING: "two words" },
    );
    assert.deepEqual(messages, [
      `Refused SUPABASE_URL of ${file}: the stack sets it itself`,
      `Refused CRON_SECRET of ${file}: the stack sets it itself`,
    ]);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("readFunctionsEnv() finds nothing in a file that is not there, unless it must be", async () => {
  assert.deepEqual(await readFunctionsEnv("/nowhere/.env"), {});
  await assert.rejects(
    readFunctionsEnv("/nowhere/.env", { required: true }),
    /Cannot read \/nowhere\/.env: there is no such file/,
  );
});
