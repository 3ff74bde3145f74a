/** What the verbs that act have in common: a reason, an author, and a message that says what was done. */
import type { Command } from "commander";
import type { Message } from "./answers.ts";
import { CommandError, exitCodes } from "./io.ts";
import { oneLine } from "./render.ts";
import type { Call } from "./verb.ts";

export interface ActOptions {
  reason?: string;
  author?: string;
}

const reason = ["--reason <WHY>", "why, for the audit log"] as const;
const author = [
  "--author <NAME>",
  "who acts, for the audit log (DAYBOOK_AUTHOR, or the profile's author)",
] as const;

/** Adds `--reason` and `--author` to a verb that acts. */
export function asAct(command: Command): Command {
  return command.requiredOption(...reason).option(...author);
}

/** Adds them to a verb that acts with one of its options alone. */
export function addCause(command: Command): Command {
  return command.option(...reason).option(...author);
}

/** POSTs what the verb is given, with its reason and author. */
export function act<Answer>(
  { source, options, author }: Call<ActOptions>,
  route: string,
  input: Record<string, unknown> = {},
): Promise<Answer> {
  return source.act<Answer>(route, { reason: reasonOf(options), author: author(), ...input });
}

/** @throws CommandError without a reason. */
export function reasonOf({ reason }: ActOptions): string {
  if (reason?.trim()) return reason;
  throw new CommandError(exitCodes.usage, "--reason must say why, for the audit log");
}

/** Does it, and prints what it says that it did. */
export async function actAndSay(
  call: Call<ActOptions>,
  route: string,
  input: Record<string, unknown> = {},
): Promise<typeof exitCodes.ok> {
  call.show(await act<Message>(call, route, input), ({ message }) => oneLine(message));
  return exitCodes.ok;
}
