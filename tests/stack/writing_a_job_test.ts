// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFiles } from "../../install/files.ts";
import { beatUntilIdle, fire } from "../support/faults.ts";
import { run } from "../support/scheduler.ts";
import { withStack } from "../support/stack.ts";
import { waitUntil } from "../support/wait-until.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** The page, for a job of another name: who has followed it has that of the page already. */
const page = (await Deno.readTextFile(join(root, "docs/writing-a-job.md")))
  .replaceAll("expire-trials", "follow-page").replaceAll("expire_trials", "follow_page");

/** The page's code blocks of one language, in order. */
function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))]
    .map((match) => match[1]!);
}

Deno.test("docs/writing-a-job.md, followed line by line, gives a job that passes its tests and runs", () =>
  withCheckout(async (checkout) => {
    const said = await shell(checkout, blocks("sh")[0]!);
    assert.match(said, /\n6 passed, 0 failed\n$/);
    assert.match(said, /shared\/database\.types\.ts is written/);
    const written = (await readFiles(checkout, ["supabase", "shared"])).values().toArray();
    for (const block of [...blocks("ts"), ...blocks("sql")]) {
      assert.ok(written.some((text) => text.includes(block)), block);
    }
    await passes(checkout, ["fmt", "--check"]);
    await passes(checkout, ["lint"]);
    await withStack({
      cron: false,
      functionsDirectories: [join(checkout, "supabase/functions")],
      migrationsDirectory: join(checkout, "supabase/migrations"),
    }, async ({ sql, apiUrl, keys }) => {
      await waitUntil("PostgREST to know the function", async () => {
        const response = await fetch(`${apiUrl}/rest/v1/`, { headers: { apikey: keys.secretKey } });
        return "/rpc/follow_page" in (await response.json()).paths;
      });
      await sql`insert into follow_page_items (due_at) select now() - interval '1 day' from generate_series(1, 3)`;
      const id = await fire(sql, "follow-page");
      await beatUntilIdle(sql);
      const row = await run(sql, id);
      assert.deepEqual([row.status, row.verdict], ["completed", "ok"], row.error_message);
      assert.deepEqual(row.result, { summary: "3 items done", items: 3 });
      const [job] =
        await sql`select schedule, time_zone from scheduler_jobs where name = 'follow-page'`;
      assert.deepEqual({ ...job }, { schedule: "30 2 * * *", time_zone: "America/New_York" });
    });
  }));

/** Runs `fn` with a copy of this checkout, as a clone would have it, and removes it afterwards. */
async function withCheckout(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "daybook-writing-a-job-" });
  try {
    const left = ["--exclude=./node_modules", "--exclude=./.git", "--exclude=./.daybook*"];
    const copy = `tar -cf - ${
      left.join(" ")
    } . | tar -xf - -C "$0" && ln -s "$PWD/node_modules" "$0"`;
    await ends(new Deno.Command("sh", { args: ["-c", copy, folder], cwd: root }));
    await fn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What a person types, in a shell that knows `deno`. */
async function shell(cwd: string, text: string): Promise<string> {
  const command = `set -e\ndeno() { "$0" "$@"; }\n${text}`;
  return await ends(
    new Deno.Command("sh", {
      args: ["-c", command, Deno.execPath()],
      cwd,
      env: { NO_COLOR: "1" },
    }),
  );
}

const passes = (cwd: string, args: string[]) =>
  ends(new Deno.Command(Deno.execPath(), { args, cwd, env: { NO_COLOR: "1" } }));

/** What it printed. Throws with it when the command fails. */
async function ends(command: Deno.Command): Promise<string> {
  const { success, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.ok(success, text(stderr) + text(stdout));
  return text(stdout);
}
