import assert from "node:assert/strict";
import { isPortFree } from "../../local/free-port.ts";
import { withPlace } from "../support/start-command.ts";
import { waitUntil } from "../support/wait-until.ts";

Deno.test("a start that is killed with -9 leaves no process, and the next start just works", () =>
  withPlace(async ({ start, port, databasePort }) => {
    const killed = start();
    await killed.line(/^Runs, as they end/);
    killed.kill("SIGKILL");
    await killed.ended;
    await waitUntil("its children to end", () => killed.leftovers().length === 0, 20_000);
    await waitUntil("free ports", () => isPortFree(port) && isPortFree(databasePort));
    const next = start(["--once"]);
    assert.equal(await next.ended, 0, next.lines.join("\n"));
  }));

Deno.test("when Postgres, REST or the functions die, it says so, stops the rest and fails", () =>
  withPlace(async ({ start, port, databasePort }) => {
    for (
      const [part, program] of [
        ["Postgres", "bin/postgres"],
        ["PostgREST", "/postgrest"],
        ["the functions", "functions-server.ts"],
      ] as const
    ) {
      const command = start();
      await command.line(/^Runs, as they end/);
      Deno.kill(command.child(program), "SIGKILL");
      assert.equal(await command.ended, 1, command.lines.join("\n"));
      assert.ok(command.lines.some((line) => line.startsWith(`${part} ended by itself`)), part);
      // The backends of a server that was killed see that by themselves, each in its own time.
      await waitUntil("its children to end", () => command.leftovers().length === 0);
      await waitUntil("free ports", () => isPortFree(port) && isPortFree(databasePort));
    }
  }));
