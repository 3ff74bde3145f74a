import assert from "node:assert/strict";
import { isLauncher } from "../../../cli/stop-signal.ts";

Deno.test("isLauncher() knows npx, deno task and what is between them, in any folder", () => {
  for (
    const [program, ...args] of [
      ["npm exec deno@2.9.6 task start"],
      ["sh", "-c", "deno task start"],
      ["node", "/home/ann/.npm/_npx/1/node_modules/.bin/deno", "task", "start"],
      ["/home/ann lee/.npm/_npx/1/node_modules/@deno/linux-x64-glibc/deno", "task", "start"],
      ["/usr/bin/deno", "task", "start"],
    ]
  ) {
    const command = [program, ...args].join(" ");
    assert.ok(isLauncher({ program: program!, command }), command);
  }
});

Deno.test("isLauncher() takes no shell of a person and no other program for one", () => {
  for (
    const [program, ...args] of [
      ["bash"],
      ["-zsh"],
      ["/bin/bash", "/srv/deno", "task.sh"],
      ["node", "server.js"],
      ["/opt/deno task/bin/code"],
    ]
  ) {
    const command = [program, ...args].join(" ");
    assert.ok(!isLauncher({ program: program!, command }), command);
  }
});
