import assert from "node:assert/strict";
import { listProcesses } from "../../../local/processes.ts";

Deno.test("listProcesses() knows this process, its parent and its arguments", () => {
  const own = listProcesses().find(({ pid }) => pid === Deno.pid);
  assert.equal(own?.parent, Deno.ppid);
  assert.match(own.command, /\btest\b/);
});

Deno.test("without ps on the PATH /proc is read, nothing is known where there is none, and none fails", async () => {
  const module = (path: string) => JSON.stringify(import.meta.resolve(path));
  const script = `
    import { listProcesses } from ${module("../../../local/processes.ts")};
    import { stopSignal } from ${module("../../../cli/stop-signal.ts")};
    const { dispose } = stopSignal();
    dispose();
    const own = listProcesses().find(({ pid }) => pid === Deno.pid);
    console.log(own?.parent === Deno.ppid, listProcesses().length > 0);`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", script],
    env: { PATH: "/nowhere" },
  }).output();
  const known = Deno.build.os === "linux";
  assert.equal(
    new TextDecoder().decode(stdout).trim(),
    `${known} ${known}`,
    new TextDecoder().decode(stderr),
  );
});
