import type { Command } from "commander";
import type { AuditLog } from "./answers.ts";
import { exitCodes, type Io } from "./io.ts";
import { wholeNumber } from "./options.ts";
import { readPages } from "./pages.ts";
import { momentHeading, oneLine, table } from "./render.ts";
import { clockTime } from "./times.ts";
import { verb } from "./verb.ts";

type Entry = AuditLog["entries"][number];

export function addAuditLog(program: Command, io: Io): void {
  program.command("audit-log")
    .summary("who did what, when, on what and why")
    .description(
      "Who did what, when, on what and why, newest first; with --json also before and after.",
    )
    .option("--limit <N>", "at most so many", wholeNumber(1, 10_000), 20)
    .action(verb<{ limit: number }>(io, async ({ source, options, zone, show }) => {
      const log = await readPages<"entries", Entry, object>(
        source,
        "audit-log",
        {},
        "entries",
        options.limit,
      );
      show(log, ({ entries }) =>
        entries.length === 0 ? "Nobody did anything yet" : table(
          [momentHeading("AT", zone)[0], "AUTHOR", "VERB", "ON", "WHY"],
          entries.map(({ occurred_at, author, verb, subject_type, subject, reason }) => [
            clockTime(occurred_at, zone),
            oneLine(author),
            verb,
            oneLine(`${subject_type} ${subject}`),
            oneLine(reason ?? ""),
          ]),
        ));
      return exitCodes.ok;
    }));
}
