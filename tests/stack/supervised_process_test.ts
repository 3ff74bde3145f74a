import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { signal, startProcess } from "../../local/supervised-process.ts";
import { waitUntil } from "../support/wait-until.ts";

const isAlive = (pid: number) => signal(pid, "SIGCONT");

const options = { name: "sleep", command: "/bin/sh", stopSignal: "TERM", graceSeconds: 1 } as const;

Deno.test("stop() sends the stop signal and waits for the end", async () => {
  const lines: string[] = [];
  const process = await startProcess({
    ...options,
    args: ["-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"],
    onLine: (line) => lines.push(line),
  });
  await waitUntil("its first line", () => lines.includes("up"));
  await process.stop();
  assert.deepEqual(lines, ["up", "bye"]);
  assert.equal(await process.ended, 3);
  assert.ok(!isAlive(process.pid));
});

Deno.test("stop() kills a process that does not listen, after the grace time", async () => {
  const lines: string[] = [];
  const process = await startProcess({
    ...options,
    args: ["-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"],
    onLine: (line) => lines.push(line),
  });
  await waitUntil("its first line", () => lines.includes("up"));
  await process.stop();
  assert.ok(!isAlive(process.pid));
});

Deno.test("kill() ends it at once, and a process may end by itself", async () => {
  const killed = await startProcess({ ...options, args: ["-c", "exec sleep 60"] });
  await killed.kill();
  assert.ok(!isAlive(killed.pid));
  const short = await startProcess({ ...options, args: ["-c", "echo why >&2; exit 7"] });
  assert.equal(await short.ended, 7);
  assert.equal(short.lastLines(), "why");
  await short.stop();
});

Deno.test("startProcess() throws when the program is not there", async () => {
  const process = await startProcess({ ...options, command: "/nowhere/program", args: [] });
  assert.equal(await process.ended, 127);
  assert.match(process.lastLines(), /not found/);
});

Deno.test("a process ends when the one that started it is killed", async () => {
  const module = fileURLToPath(new URL("../../local/supervised-process.ts", import.meta.url));
  const program = `
    import { startProcess } from ${JSON.stringify(module)};
    const child = await startProcess({
      name: "sleep", command: "sleep", args: ["60"], stopSignal: "TERM", graceSeconds: 1 });
    console.log(child.pid);
    await child.ended;`;
  const parent = new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    stdout: "piped",
  }).spawn();
  const reader = parent.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const pid = Number((await reader.read()).value);
  assert.ok(isAlive(pid));
  parent.kill("SIGKILL");
  await parent.status;
  await waitUntil("the end of the child", () => !isAlive(pid));
  await reader.cancel();
});
