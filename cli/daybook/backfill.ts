import type { Command } from "commander";
import type { Backfilled } from "./answers.ts";
import { act, type ActOptions, asAct } from "./act.ts";
import { exitCodes, type Io } from "./io.ts";
import { momentOf, routeOf, wholeNumber } from "./options.ts";
import { oneLine, table } from "./render.ts";
import { clockTime, momentForms } from "./times.ts";
import { addNote, verb } from "./verb.ts";

interface Options extends ActOptions {
  from: string;
  to: string;
  reprocess?: string;
  newestFirst?: boolean;
  atMost?: number;
  yes?: boolean;
}

export function addBackfill(program: Command, io: Io): void {
  const command = asAct(
    program.command("backfill")
      .summary("run occurrences of a past range")
      .description(
        "Run occurrences of a past range, each with its own interval; without --yes only say which.",
      )
      .argument("<job>", "its name or alias")
      .requiredOption("--from <TIME>", "the range begins here")
      .requiredOption("--to <TIME>", "and ends before this")
      .option("--reprocess <WHICH>", "missed (what never ran), failed or all (missed)")
      .option("--newest-first", "the newest first, not the oldest")
      .option("--at-most <N>", "at most so many (100)", wholeNumber(1, 1000))
      .option("--yes", "do it"),
  ).action(verb<Options>(io, async (call, job) => {
    const { options, zone, show } = call;
    const done = await act<Backfilled>(call, routeOf("job", job!, "backfill"), {
      from: momentOf(io, call, "--from", options.from),
      to: momentOf(io, call, "--to", options.to),
      reprocess: options.reprocess,
      newest_first: options.newestFirst,
      at_most: options.atMost,
      preview: !options.yes,
    });
    show(done, (done) => renderBackfill(done, zone));
    return exitCodes.ok;
  }));
  addNote(command, momentForms);
}

type Occurrence = Backfilled["occurrences"][number];

/** One after the other; what is left as it is for one reason is together: there may be thousands. */
function folded(occurrences: Occurrence[]): [Occurrence, ...Occurrence[]][] {
  const groups: [Occurrence, ...Occurrence[]][] = [];
  for (const occurrence of occurrences) {
    const last = groups.at(-1);
    const isLeft = occurrence.becomes.startsWith("left: ");
    if (last !== undefined && isLeft && last[0].becomes === occurrence.becomes) {
      last.push(occurrence);
    } else groups.push([occurrence]);
  }
  return groups;
}

function renderBackfill({ preview, occurrences }: Backfilled, zone: string): string {
  if (occurrences.length === 0) return "The job has no occurrence in that range";
  const list = table(
    [`OCCURRENCE (${zone})`, "IT IS", "BECOMES"],
    folded(occurrences).map(([first, ...more]) => [
      clockTime(first.scheduled_for, zone),
      more.length === 0 ? first.state : `and ${more.length} more`,
      oneLine(first.becomes),
    ]),
  );
  return preview ? `${list}\nNothing was done: --yes does it` : list;
}
