import assert from "node:assert/strict";
import { isPortFree } from "../../local/free-port.ts";
import { withPlace } from "../support/start-command.ts";

const MOMENTS = [
  /^Making the database files/,
  /^Preparing roles/,
  /^Applying migration 2 /,
  /^Starting the REST server/,
  /^Starting the functions/,
  /^Runs, as they end/,
];
for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`${name} at any moment stops everything in order`, () =>
    withPlace(async ({ start, port, databasePort }) => {
      for (const moment of MOMENTS) {
        const command = start(["--fresh"]);
        await command.line(moment);
        command.kill(name);
        assert.equal(await command.ended, 0, command.lines.join("\n"));
        assert.ok(command.lines.includes(`Stopped by ${name}`), command.lines.join("\n"));
        assert.deepEqual(command.leftovers(), [], String(moment));
        assert.ok(isPortFree(port) && isPortFree(databasePort), String(moment));
      }
    }));
}

Deno.test("--once that is stopped before the jobs have run fails", () =>
  withPlace(async ({ start }) => {
    for (const moment of [/^Preparing roles/, /^Running \d+ jobs/]) {
      const command = start(["--once"]);
      await command.line(moment);
      command.kill("SIGINT");
      assert.equal(await command.ended, 1, command.lines.join("\n"));
      assert.ok(command.lines.includes("Stopped by SIGINT"), command.lines.join("\n"));
    }
  }));
