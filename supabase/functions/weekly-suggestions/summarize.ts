/** What a run has come to. */
export interface Figures {
  /** Organizations that had their week. */
  organizations: number;
  /** Prompts that wait for a person's yes now. */
  suggested: number;
  /** Dropped because they are similar to a prompt that is known, suggested or rejected. */
  alike: number;
  /** Dropped because of their length. */
  unusable: number;
  /** Organizations without a usable answer: their week is over without suggestions. */
  failed: number;
}

const number = new Intl.NumberFormat("en-US");

/** One line for lists: "12 prompts suggested to 3 organizations, 2 dropped as similar". */
export function summarize(
  figures: Figures,
  stoppedBy: string | undefined,
  goesOn: boolean,
): string {
  const { organizations, suggested, alike, failed } = figures;
  const parts = organizations === 0 && failed === 0
    ? [stoppedBy === undefined ? "no organization is due" : "no organization was asked for"]
    : [
      `${number.format(suggested)} prompts suggested to ${
        number.format(organizations)
      } organizations`,
    ];
  if (alike > 0) parts.push(`${number.format(alike)} dropped as similar`);
  if (failed > 0) parts.push(`${number.format(failed)} organizations without a usable answer`);
  const line = parts.join(", ");
  if (stoppedBy !== undefined) return `${line}; stopped: ${stoppedBy}`;
  return goesOn ? `${line}; the next run goes on` : line;
}
