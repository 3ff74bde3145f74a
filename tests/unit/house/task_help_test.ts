import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const { tasks } = JSON.parse(await Deno.readTextFile(`${root}/deno.json`));
/** Those that are programs of ours: name and file. */
const programs = Object.entries<{ command: string }>(tasks).flatMap(([name, { command }]) => {
  const file = /^deno run -A (\S+\.ts)$/.exec(command)?.[1];
  return file === undefined ? [] : [[name, file] as const];
});

/** What `deno task <name> <args>` does. Nothing of what it would need is there. */
async function run(file: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", file, ...args],
    cwd: root,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("every task prints its options with --help and -h, does nothing else and ends with 0", async () => {
  assert.ok(programs.length >= 7);
  for (const [name, file] of programs) {
    const help = await run(file, "--help");
    assert.equal(help.code, 0, `${name}: ${help.stderr}`);
    assert.match(help.stdout, new RegExp(`^.+\\.\n\ndeno task ${name}\\b.*\n\n`), name);
    assert.match(help.stdout, /^ {2}--help +this text$/m, name);
    assert.equal(help.stderr, "", name);
    assert.deepEqual(await run(file, "-h"), help, name);
  }
});

Deno.test("every task refuses an option that it does not know, and one without its value, and says what it knows", async () => {
  for (const [name, file] of programs) {
    const refused = await run(file, "--unheard-of");
    assert.equal(refused.code, 2, name);
    assert.equal(refused.stdout, "", name);
    assert.match(refused.stderr, /^Unknown option '--unheard-of'.*\n\n/, name);
    assert.match(refused.stderr, new RegExp(`deno task ${name}\\b`), name);
    const [option] = /--[a-z-]+(?= [A-Z])/.exec(refused.stderr) ?? [];
    if (option === undefined) continue;
    const bare = await run(file, option);
    assert.equal(bare.code, 2, `${name} ${option}`);
    assert.match(bare.stderr, new RegExp(`^Option '.*${option}.*' argument missing`), name);
  }
});
