/** What all verbs have in common: their options, what they ask, how they end. */
import type { Command } from "commander";
import { CommandError, type ExitCode, exitCodes, type Io } from "./io.ts";
import { openPlace } from "./open-source.ts";
import type { PlaceOptions } from "./place.ts";
import type { Source } from "./source.ts";

/** The options that stand before or after any verb. */
export interface CommonOptions extends PlaceOptions {
  json?: boolean;
  utc?: boolean;
}

export interface Call<Options> {
  source: Source;
  options: Options & CommonOptions;
  /** Prints the API's answer as it is with `--json`, else what `text` makes of it. */
  show<Answer>(answer: Answer, text: (answer: Answer) => string): void;
  /** In which zone times are shown and read: the reader's own, or UTC with `--utc`. */
  zone: string;
  /** Who acts: `--author`, `DAYBOOK_AUTHOR` or the profile's; a signed-in user is known by itself. */
  author(): string | undefined;
}

/**
 * What a verb does, as commander calls it: with its arguments. It answers how the command ends; what it throws is
 * printed by `runProgram`.
 */
export function verb<Options = object>(
  io: Io,
  act: (call: Call<Options>, ...args: (string | undefined)[]) => Promise<ExitCode>,
) {
  return async function (this: Command): Promise<void> {
    const options = this.optsWithGlobals<Options & CommonOptions>();
    const { source, author } = await openPlace(options, io);
    try {
      const code = await act({
        source,
        options,
        zone: options.utc ? "UTC" : io.zone,
        show(answer, text) {
          io.print(options.json ? JSON.stringify(answer, null, 2) : text(answer));
        },
        author: () => authorOf(options, source, author, io),
      }, ...this.args);
      endWith(this, code);
    } finally {
      await source.close();
    }
  };
}

const notes = new WeakMap<Command, string>();

/** What a verb's help says below its options: a line each, which is wrapped. */
export function addNote(command: Command, text: string): Command {
  notes.set(command, text);
  return command;
}

export function noteOf(command: Command): string {
  return notes.get(command) ?? "";
}

/** How the command ends, kept where `runProgram` reads it. */
const endings = new WeakMap<Command, ExitCode>();

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}

/** Says how the command ends, where that is not with 0. */
export function endWith(command: Command, code: ExitCode): void {
  endings.set(rootOf(command), code);
}

export function endingOf(program: Command): ExitCode {
  return endings.get(program) ?? exitCodes.ok;
}

function authorOf(
  options: object,
  source: Source,
  profileAuthor: string | undefined,
  io: Io,
): string | undefined {
  const { author } = options as { author?: string };
  return source.knowsAuthor
    ? authorIfNamed(author, profileAuthor, io)
    : namedAuthor(author, profileAuthor, io);
}

function authorIfNamed(
  told: string | undefined,
  profileAuthor: string | undefined,
  io: Pick<Io, "env">,
): string | undefined {
  return (told ?? io.env("DAYBOOK_AUTHOR") ?? profileAuthor)?.trim() || undefined;
}

/**
 * Who acts: as told, by the environment, or by the profile. An author is never guessed: the audit log would have a name
 * that nobody gave.
 */
export function namedAuthor(
  told: string | undefined,
  profileAuthor: string | undefined,
  io: Pick<Io, "env">,
): string {
  const named = authorIfNamed(told, profileAuthor, io);
  if (named !== undefined) return named;
  throw new CommandError(
    exitCodes.usage,
    "--author must say who acts, for the audit log",
    "export DAYBOOK_AUTHOR=<your name> says it once",
  );
}
