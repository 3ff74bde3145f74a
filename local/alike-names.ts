/** The names, at most three, that somebody may have meant who wrote another one: the most alike first. */
export function alikeNames(written: string, names: readonly string[]): string[] {
  const most = Math.max(2, Math.floor(written.length / 4));
  return names.map((name) => ({ name, steps: editSteps(written, name) }))
    .filter(({ name, steps }) => steps <= most || (written.length > 2 && name.includes(written)))
    .sort((a, b) => a.steps - b.steps)
    .slice(0, 3).map(({ name }) => name);
}

/** How many characters must be added, taken out, exchanged or swapped with their neighbour (Damerau-Levenshtein). */
function editSteps(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= from.length; row++) {
    const steps = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      let least = Math.min(
        rows[row - 1]![column]! + 1,
        steps[column - 1]! + 1,
        rows[row - 1]![column - 1]! + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] &&
        from[row - 2] === to[column - 1];
      if (swapped) least = Math.min(least, rows[row - 2]![column - 2]! + 1);
      steps.push(least);
    }
    rows.push(steps);
  }
  return rows[from.length]![to.length]!;
}
