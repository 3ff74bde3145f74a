import type { Command } from "commander";
import type { Explanation } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { momentOf, nameOf } from "./options.ts";
import { oneLine } from "./render.ts";
import { momentForms } from "./times.ts";
import { addNote, verb } from "./verb.ts";

export function addExplain(program: Command, io: Io): void {
  const command = program.command("explain")
    .summary("why a job did, or did not, run")
    .description(
      "Why a job did, or did not, run at a minute: a sentence, and with --json the facts behind it.",
    )
    .argument("<job>", "its name or alias")
    .option("--at <TIME>", "at this minute; without it the job's latest row")
    .action(verb<{ at?: string }>(io, async (call, job) => {
      const { source, options, show } = call;
      const at = momentOf(io, call, "--at", options.at);
      show(
        await source.read<Explanation>("explain", { job: nameOf("job", job!), at }),
        ({ sentence }) => oneLine(sentence),
      );
      return exitCodes.ok;
    }));
  addNote(command, momentForms);
}
