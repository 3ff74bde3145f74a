import type { Command } from "commander";
import type { Verification } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { oneLine, paintFor, paintState, table } from "./render.ts";
import { addNote, verb } from "./verb.ts";

const pollMs = 500;
/** A function that was asked has answered by then, or will not. */
const patienceMs = 30_000;

export function addVerify(program: Command, io: Io): void {
  const command = program.command("verify")
    .summary("whether all works together")
    .description("Whether all works together: secrets, functions, clocks, extensions, locks.")
    .action(verb(io, async ({ source, show }) => {
      const end = io.now().getTime() + patienceMs;
      let found = await source.read<Verification>("verify");
      while (found.checks.some(({ state }) => state === "asked") && io.now().getTime() < end) {
        await io.pause(pollMs);
        found = await source.read<Verification>("verify");
      }
      const open = found.checks.filter(({ state }) => state !== "ok").length;
      const paint = paintFor(io);
      show(found, ({ checks }) =>
        [
          table(
            ["STATE", "CHECK", "WHAT IT FOUND"],
            checks.map(({ check, state, detail }) => [
              paintState(paint, state),
              check,
              oneLine(detail),
            ]),
          ),
          open === 0 ? "All checks hold" : `${open} of ${checks.length} checks do not hold`,
        ].join("\n"));
      return open > 0 ? exitCodes.jobs : exitCodes.ok;
    }));
  addNote(
    command,
    `It ends with 1 when a check does not hold. It asks a function, and waits for its answer for up to 30 seconds.
deno task verify:cron is the same; deno task postdeploy also ends an incident.`,
  );
}
