/** A file that lines are added to. */
export interface LogFile {
  /** Never throws: what cannot be written is lost. */
  write(line: string): void;
  close(): void;
}

/** Opens a log that only its owner may read. `onLost` is told, once, that a line could not be written and why. */
export async function openLogFile(
  path: string,
  onLost: (message: string) => void,
): Promise<LogFile> {
  const file = await Deno.open(path, { create: true, append: true, mode: 0o600 });
  const encoder = new TextEncoder();
  let lost = false;
  return {
    write(line) {
      try {
        file.writeSync(encoder.encode(line + "\n"));
      } catch (error) {
        if (!lost) onLost(`Cannot write ${path}: ${(error as Error).message}`);
        lost = true;
      }
    },
    close: () => file.close(),
  };
}
