/**
 * Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
 */
import type { Group, HistogramSeries, Reading, ValueSeries } from "./reading.ts";

/** The content type of the text from `renderReading`. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8";

/** A reading as text, family after family; each line ends with a line feed. */
export function renderReading({ families, sources }: Reading): string {
  const lines = new Map<string, string>();
  for (const group of sources.flat()) {
    const sets = labelSets(group);
    for (const series of group.series) {
      const text = "counts" in series ? renderHistogram(series, sets) : renderValues(series, sets);
      lines.set(series.family, (lines.get(series.family) ?? "") + text);
    }
  }
  return families.map(({ name, type, help }) =>
    `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n${lines.get(name) ?? ""}`
  ).join("");
}

/** The label sets of a group as text, without braces. */
function labelSets({ labels }: Group): string[] {
  const columns = Object.entries(labels);
  if (columns.length === 0) return [""];
  const count = columns[0]![1]?.length ?? 0;
  return Array.from({ length: count }, (_, row) => {
    let text = "";
    for (const [name, values] of columns) text += renderLabel(text, name, values![row]!);
    return text;
  });
}

function renderValues({ family, labels, values }: ValueSeries, sets: string[]): string {
  let own = "";
  for (const name in labels) own += renderLabel(own, name, labels[name]!);
  let text = "";
  sets.forEach((set, row) => {
    const value = values?.[row] ?? null;
    if (value === null) return;
    const all = set === "" || own === "" ? set + own : `${set},${own}`;
    text += `${family}${braces(all)} ${formatValue(value)}\n`;
  });
  return text;
}

/** Buckets are cumulative in the text. The last one, `+Inf`, counts all observations. */
function renderHistogram({ family, bounds, counts, sums }: HistogramSeries, sets: string[]) {
  const names = [...bounds.map(formatValue), "+Inf"];
  let text = "";
  sets.forEach((set, row) => {
    const before = set === "" ? "" : `${set},`;
    let count = 0;
    names.forEach((bound, bucket) => {
      count += counts?.[row]?.[bucket] ?? 0;
      text += `${family}_bucket{${before}le="${bound}"} ${count}\n`;
    });
    text += `${family}_sum${braces(set)} ${formatValue(sums?.[row] ?? 0)}\n` +
      `${family}_count${braces(set)} ${count}\n`;
  });
  return text;
}

const renderLabel = (before: string, name: string, value: string) =>
  `${before === "" ? "" : ","}${name}="${escapeLabel(value)}"`;

const braces = (labels: string) => labels === "" ? "" : `{${labels}}`;

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return /[\\"\n]/.test(text) ? escapeHelp(text).replaceAll('"', '\\"') : text;
}

/** A number in the form that Go's `ParseFloat` reads. */
function formatValue(value: number): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return String(value);
}
