import type { Command } from "commander";
import { formatDuration } from "../format-table.ts";
import type { LogLine, Logs } from "./answers.ts";
import { CommandError, exitCodes, type Io } from "./io.ts";
import { momentOf, wholeNumber } from "./options.ts";
import { readPages } from "./pages.ts";
import { oneLine, type Paint, paintFor, paintState } from "./render.ts";
import type { Source } from "./source.ts";
import { clockTime, momentForms } from "./times.ts";
import { addNote, verb } from "./verb.ts";

interface Options {
  follow?: boolean;
  lines?: number;
  since?: string;
}

const pollMs = 1000;
/** A line can be seen once its transaction has committed, some time after the moment that it carries. */
const overlapMs = 30_000;
const usualLines = 50;
const mostLines = 10_000;

export function addLogs(program: Command, io: Io): void {
  const command = program.command("logs")
    .summary("what happened: runs as they end, and the activity")
    .description(
      "What happened, oldest first: a line for each run as it ends, and each line of scheduler_activity.",
    )
    .argument("[source]", "of this job alone, or of what else wrote a line")
    .option("-f, --follow", "go on with what happens, until Ctrl-C")
    .option(
      "-n, --lines <N>",
      `begin with the newest so many (${usualLines}, with --since all)`,
      wholeNumber(0, mostLines),
    )
    .option("--since <TIME>", "begin with what happened since then")
    .action(verb<Options>(io, async (call, wanted) => {
      const { source, options, zone } = call;
      const paint = paintFor(io);
      const isWanted = (line: LogLine) => wanted === undefined || line.source === wanted;
      const limit = options.lines ?? (options.since === undefined ? usualLines : mostLines);
      const from = momentOf(io, call, "--since", options.since);
      const found = await readUntil(source, from, isWanted, limit);
      if (!options.follow) {
        call.show(
          { lines: found.shown, next_cursor: found.nextCursor },
          ({ lines }) =>
            lines.length === 0
              ? "Nothing happened"
              : lines.toReversed().map((line) => renderLine(line, zone, paint)).join("\n"),
        );
        return exitCodes.ok;
      }
      const print = (lines: LogLine[]) => {
        for (const line of lines) {
          if (io.signal.aborted) return;
          io.print(options.json ? JSON.stringify(line) : renderLine(line, zone, paint));
        }
      };
      print(found.shown.toReversed());
      const feed = new Feed(found.read, found.nextCursor === null && from === undefined);
      let complaint = "";
      while (!io.signal.aborted) {
        await io.pause(pollMs);
        if (io.signal.aborted) break;
        try {
          print((await feed.next(source)).filter(isWanted));
          complaint = "";
        } catch (error) {
          if (!(error instanceof CommandError)) throw error;
          // A database that restarts comes back: said once, and asked again.
          if (error.message !== complaint) io.complain(error.message);
          complaint = error.message;
        }
      }
      return exitCodes.ok;
    }));
  addNote(
    command,
    `What a function itself writes (console.log, context.log) stays with Supabase: the dashboard's logs of the function.
A run under way has no line yet: deno task daybook runs --status running
${momentForms}
With --json one document, newest line first, as the API answers; with -f --json a line of JSON for each.`,
  );
}

/** The newest lines, up to `limit` of those that are wanted: those, and all that were read. */
async function readUntil(
  source: Source,
  from: string | undefined,
  isWanted: (line: LogLine) => boolean,
  limit: number,
) {
  const read: LogLine[] = [];
  let cursor: string | null | undefined;
  do {
    const page: Logs = await source.read<Logs>("logs", { from, cursor: cursor ?? undefined });
    read.push(...page.lines);
    cursor = page.next_cursor;
  } while (cursor !== null && read.filter(isWanted).length < limit && read.length < mostLines);
  return { shown: read.filter(isWanted).slice(0, limit), read, nextCursor: cursor };
}

const keyOf = ({ run, activity_id }: LogLine) => run?.run_id ?? `${activity_id}`;

/** What comes after the lines that were read: asked for with an overlap, each line given once. */
export class Feed {
  readonly #seen = new Map<string, number>();
  /** Nothing up to here is new: it is older than what was read first. */
  readonly #floor: number;
  #newest: number;

  /**
   * @param read The newest lines, without a gap.
   * @param isAll Whether there are no older ones.
   */
  constructor(read: LogLine[], isAll: boolean) {
    const times = read.map(({ at }) => Date.parse(at));
    this.#newest = Math.max(-Infinity, ...times);
    this.#floor = isAll || read.length === 0 ? -Infinity : Math.min(...times);
    for (const line of read) this.#seen.set(keyOf(line), Date.parse(line.at));
  }

  /** The lines that are new, oldest first. */
  async next(source: Source): Promise<LogLine[]> {
    const since = Math.max(this.#newest - overlapMs, this.#floor);
    const { lines } = await readPages<"lines", LogLine, object>(
      source,
      "logs",
      { from: Number.isFinite(since) ? new Date(since).toISOString() : undefined },
      "lines",
    );
    const fresh = lines.toReversed().filter((line) =>
      !this.#seen.has(keyOf(line)) && Date.parse(line.at) > this.#floor
    );
    for (const line of fresh) {
      const at = Date.parse(line.at);
      this.#seen.set(keyOf(line), at);
      this.#newest = Math.max(this.#newest, at);
    }
    for (const [key, at] of this.#seen) if (at < this.#newest - overlapMs) this.#seen.delete(key);
    return fresh;
  }
}

function renderLine(line: LogLine, zone: string, paint: Paint): string {
  const { run } = line;
  const took = run?.duration_ms == null ? "" : ` (${formatDuration(run.duration_ms)})`;
  const text = oneLine(line.message) + took;
  const state = run?.status ?? line.severity;
  return `${clockTime(line.at, zone)}  ${paintState(paint, state)}${
    " ".repeat(Math.max(0, 9 - state.length))
  }  ${oneLine(line.source)}  ${text}`;
}
