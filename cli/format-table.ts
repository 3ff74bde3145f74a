import { stripVTControlCharacters } from "node:util";

/** Rows as text, each column as wide as its widest cell, colours not counted; the last one is left as it is. */
export function formatTable(rows: string[][]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, widthOf(cell));
    }
  }
  return rows.map((row) =>
    row.map((cell, index) =>
      index === row.length - 1 ? cell : cell + " ".repeat(widths[index]! - widthOf(cell))
    )
      .join("  ").trimEnd()
  ).join("\n");
}

const widthOf = (cell: string) => stripVTControlCharacters(cell).length;

/** A duration as people say it: 850 ms, 3.2 s, 4 min 10 s. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
