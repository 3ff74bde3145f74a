/** What a run has come to so far. */
export interface Figures {
  answered: number;
  failed: number;
  /** Tasks that were claimed and are open again: for later, for the fall-back, for the next run. */
  givenBack: number;
  /** Results that came after their lease was lost. */
  lost: number;
}

const number = new Intl.NumberFormat("en-US");

/** One line for lists: "28 answered, 2 failed: the batch job is partial". */
export function summarize(
  figures: Figures,
  status: string,
  open: number,
  continuesAt: Date | null,
): string {
  const parts = [`${number.format(figures.answered)} answered`];
  if (figures.failed > 0) parts.push(`${number.format(figures.failed)} failed`);
  const done = parts.join(", ");
  if (continuesAt === null) {
    return `${done}: the batch job ${status === "unknown" ? "was deleted" : `is ${status}`}`;
  }
  const time = continuesAt.toISOString().slice(11, 19);
  return `${done}, ${number.format(open)} open: the next run goes on at ${time} UTC`;
}
