/** What a verb has to do with the outside: handed in, so that tests replace it. */
export interface Io {
  env(name: string): string | undefined;
  /** Prints lines on stdout. */
  print(text: string): void;
  /** Prints lines on stderr. */
  complain(text: string): void;
  now(): Date;
  /** Waits so many ms; ends at once when `signal` comes. */
  pause(ms: number): Promise<void>;
  /** The IANA zone of the person who reads. */
  zone: string;
  /** Whether stdout is a terminal that wants colours. */
  colours: boolean;
  /** The URL of the database that `deno task start` runs on this machine; throws where it runs none. */
  stackDatabase(): Promise<string>;
  /** Aborted by Ctrl-C and its kin, and when nobody reads what is printed any more. */
  signal: AbortSignal;
}

/** How the command ends, for scripts. docs/command-line.md says the same. */
export const exitCodes = {
  ok: 0,
  /** Something is wrong with the jobs: one fails, is stalled, a run did not complete, a check does not hold. */
  jobs: 1,
  /** The command itself is wrong: a verb, an option, a job or a run that there is not. */
  usage: 2,
  /** No answer: nothing listens, the secret is refused, the database is down. */
  unreachable: 3,
  /** The verb was refused: the state of the job or the run does not allow it, or whoever asks may only read. */
  refused: 4,
  /** `plan`: something would change. */
  differs: 5,
  /** The command itself broke; its stack says where. The same as EX_SOFTWARE of sysexits.h. */
  broken: 70,
  /** Stopped by Ctrl-C. */
  stopped: 130,
} as const;

export type ExitCode = typeof exitCodes[keyof typeof exitCodes];

/** What ends the command with that code; its message goes to stderr. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  constructor(readonly exitCode: ExitCode, message: string, readonly hint?: string) {
    super(message);
  }
}
