// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../local/free-port.ts";
import { PORTS } from "../support/start-command.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** What a URL escapes, what it cuts at, and what looks as if it were escaped already. */
const ODD_NAME = "a b%20c#d ü?x";
const NEEDED = ["cli", "local", "shared", "supabase", "deno.json", "deno.lock", "node_modules"];
const TESTS = ["tests/run.ts", "tests/support", "tests/unit/shared/text_test.ts"];

/** A copy of the project in a folder with an odd name; removed afterwards. */
async function withOddFolder(fn: (folder: string) => Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir({ prefix: "daybook-odd-" });
  await Deno.chmod(parent, 0o755);
  const folder = join(parent, ODD_NAME);
  try {
    await Deno.mkdir(join(folder, "tests/unit/shared"), { recursive: true });
    for (const path of [...NEEDED, ...TESTS]) {
      const args = ["-a", join(ROOT, path), join(folder, path)];
      assert.ok((await new Deno.Command("cp", { args }).output()).success, path);
    }
    await fn(folder);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

Deno.test("start, test and types work in a folder whose name has blanks, #, %, ? and an umlaut", () =>
  withOddFolder(async (folder) => {
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", ...args],
        cwd: folder,
      }).output();
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.equal(code, 0, text);
      return text;
    };
    const ports = ["--port", `${freePort(PORTS)}`, "--db-port", `${freePort(PORTS)}`];
    assert.match(
      await run("cli/start.ts", "--once", ...ports),
      /^\d+ of \d+ runs completed/m,
    );
    assert.ok((await Deno.stat(join(folder, ".daybook/keys.json"))).isFile);
    assert.match(
      await run("tests/run.ts", "tests/unit/shared/text_test.ts"),
      /^\d+ passed, 0 failed$/m,
    );
    assert.match(await run("cli/types.ts", "--check"), /is current/);
  }));
