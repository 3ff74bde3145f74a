// Runs on the second Postgres, too.
import assert from "node:assert/strict";
import { isPortFree } from "../../local/free-port.ts";
import { type Place, type StartCommand, withPlace } from "../support/start-command.ts";
import { waitUntil } from "../support/wait-until.ts";

/** A device that can be opened, and that takes no byte. */
const FULL = "/dev/full";

/** A start whose file of this name lies on a full disk. */
async function startWithFull(place: Place, name: string): Promise<StartCommand> {
  await Deno.mkdir(place.dataDirectory, { recursive: true });
  await Deno.symlink(FULL, `${place.dataDirectory}/${name}`);
  return place.start();
}

async function endedInOrder(place: Place, command: StartCommand, message: RegExp) {
  assert.equal(await command.ended, 1, command.lines.join("\n"));
  const text = command.lines.join("\n");
  assert.match(text, message);
  assert.doesNotMatch(text, /^ +at |Uncaught/m);
  assert.equal(text.match(/No space left on device/g)?.length, 1, text);
  await waitUntil("its children to end", () => command.leftovers().length === 0);
  assert.ok(isPortFree(place.port) && isPortFree(place.databasePort));
}

Deno.test("a full disk ends the start in order during any write", async (test) => {
  for (
    const [name, message] of [
      ["keys.json.unfinished", /^Cannot start: the disk is full; free some space, or .* --data/m],
      ["postgres.log", /^Cannot write \S+\/postgres.log: No space left on device/m],
      ["functions.log", /^Cannot write \S+\/functions.log: No space left on device/m],
      ["database-url", /^Cannot start: the disk is full; [^]*^Stopping$/m],
    ] as const
  ) {
    await test.step(
      name,
      () =>
        withPlace(async (place) => endedInOrder(place, await startWithFull(place, name), message)),
    );
  }
});

const size = "160m";
const run = async (program: string, ...args: string[]) =>
  (await new Deno.Command(program, { args, stdout: "null", stderr: "null" }).output()).success;

/** A small disk of its own for what is below the directory. */
async function withSmallDisk(directory: string, fn: () => Promise<void>): Promise<void> {
  const options = ["-t", "tmpfs", "-o", `size=${size},mode=755`];
  assert.ok(await run("mount", ...options, "tmpfs", directory));
  try {
    await fn();
  } finally {
    await run("umount", "-l", directory);
  }
}

async function mayMount(): Promise<boolean> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  const directory = await Deno.makeTempDir();
  try {
    if (!await run("mount", "-t", "tmpfs", "tmpfs", directory)) return false;
    return await run("umount", directory);
  } finally {
    await Deno.remove(directory);
  }
}

Deno.test({
  name: "a disk that is full one day ends a stack that runs in order",
  ignore: !await mayMount(),
  fn: () =>
    withPlace(async (place) => {
      await Deno.mkdir(place.dataDirectory);
      await withSmallDisk(place.dataDirectory, async () => {
        const command = place.start();
        await command.line(/^Runs, as they end/);
        const file = await Deno.open(`${place.dataDirectory}/fill`, { create: true, write: true });
        for (let block = 1024 * 1024; block > 0; block = Math.floor(block / 2)) {
          try {
            for (;;) if (file.writeSync(new Uint8Array(block)) < block) break;
          } catch (error) {
            assert.equal((error as { code?: string }).code, "ENOSPC");
          }
        }
        file.close();
        await fetch(`http://127.0.0.1:${place.port}/functions/v1/system-health`, {
          method: "POST",
          headers: { "x-manual-call": "true" },
        }).then((answer) => answer.body?.cancel(), () => {});
        assert.equal(await command.ended, 1, command.lines.join("\n"));
        const text = command.lines.join("\n");
        assert.match(
          text,
          /^(Cannot write \S+\.log|Postgres cannot go on): .*No space left on device/m,
        );
        assert.match(text, /^Stopping$/m);
        assert.doesNotMatch(text, /^ +at |Uncaught/m);
        await waitUntil("its children to end", () => command.leftovers().length === 0);
        assert.ok(isPortFree(place.port) && isPortFree(place.databasePort));
      });
    }),
});
