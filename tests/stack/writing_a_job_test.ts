// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { fire, settle } from "../support/faults.ts";
import { run } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = await Deno.readTextFile(join(root, "docs/writing-a-job.md"));

/** The page's code blocks of one language, in order. */
function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))]
    .map((match) => match[1]!);
}

Deno.test("who follows docs/writing-a-job.md line by line has a job that runs", async () => {
  const project = await Deno.makeTempDir({ prefix: "daybook-writing-a-job-" });
  try {
    const [job, index] = blocks("ts");
    const functions = join(project, "supabase/functions");
    await write(join(functions, "expire-trials/job.ts"), job!);
    await write(join(functions, "expire-trials/index.ts"), index!);
    await Deno.copyFile(
      join(root, "supabase/functions/system-health/deno.json"),
      join(functions, "expire-trials/deno.json"),
    );
    await Deno.symlink(join(root, "shared"), join(project, "shared"));
    await withStack({ cron: false, functionsDirectories: [functions] }, async (stack) => {
      const { sql } = stack;
      const [migration] = blocks("sql");
      await sql.unsafe(migration!);
      await sql.unsafe(migration!);
      // The page says to start again, which makes PostgREST read the schema.
      await sql`notify pgrst, 'reload schema'`;
      await waitUntil("PostgREST to know the function", async () => {
        const { secretKey } = stack.keys;
        const response = await fetch(`${stack.apiUrl}/rest/v1/`, {
          headers: { apikey: secretKey },
        });
        return "/rpc/expire_trials" in (await response.json()).paths;
      });
      await sql`insert into trials (ends_on) select current_date - days from unnest(array[10, 20, 30]) as days`;
      const id = await fire(sql, "expire-trials");
      await settle(sql);
      const row = await run(sql, id);
      assert.deepEqual([row.status, row.verdict], ["completed", "ok"], row.error_message);
      assert.deepEqual(row.result, { summary: "2 trials expired", trials: 2 });
      const [left] = await sql`select count(*)::int as open from trials where expired_at is null`;
      assert.equal(left!.open, 1);
    });
  } finally {
    await Deno.remove(project, { recursive: true });
  }
});

async function write(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
}
