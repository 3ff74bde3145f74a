import type { Command } from "commander";
import type { Io } from "./io.ts";
import { verb } from "./verb.ts";
export function addStatus(program: Command, io: Io): void {
  program.command("status").description("Every job and its state.").action(
    verb(io, async ({ source, show }) => {
      show(await source.read<{ sentence: string }>("status"), ({ sentence }) => sentence);
      return 0;
    }),
  );
}
