import type { Command } from "commander";
import type { Verification } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { oneLine, paintFor, paintState, table } from "./render.ts";
import type { Source } from "./source.ts";
import { addNote, verb } from "./verb.ts";

const pollMs = 500;
/** A function that was asked has answered by then, or will not. */
const patienceMs = 30_000;

export function addVerify(program: Command, io: Io): void {
  const command = program.command("verify")
    .summary("whether all works together")
    .description("Whether all works together: secrets, functions, clocks, extensions, locks.")
    .action(verb(io, async ({ source, show }) => {
      const found = await verifyOf(source, io);
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

/** The checks of that source, once the function that was asked has answered. */
export function verifyOf(source: Source, io: Waiting): Promise<Verification> {
  return untilAnswered(() => source.read<Verification>("verify"), ({ checks }) => checks, io);
}

type Waiting = Pick<Io, "now" | "pause">;

/** Looks until no check waits for an answer any more, or the time is over. */
export async function untilAnswered<Found>(
  look: () => Promise<Found>,
  checksOf: (found: Found) => readonly { state: string }[],
  { now, pause }: Waiting,
): Promise<Found> {
  const end = now().getTime() + patienceMs;
  let found = await look();
  while (checksOf(found).some(({ state }) => state === "asked") && now().getTime() < end) {
    await pause(pollMs);
    found = await look();
  }
  return found;
}
