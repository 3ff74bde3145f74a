/**
 * Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
 */

/** The content type of what `renderFamilies` returns. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, string>>;

/** A metric name with everything it says at this moment. */
export type Family = Counter | Histogram;

interface Counter {
  readonly type: "counter" | "gauge";
  readonly name: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
}

interface Histogram {
  readonly type: "histogram";
  readonly name: string;
  readonly help: string;
  /** Upper bounds of the buckets, ascending, without +Inf. */
  readonly bounds: readonly number[];
  readonly series: readonly HistogramSeries[];
}

export interface HistogramSeries {
  readonly labels?: Labels;
  /** Observations in each bucket alone, not cumulative; one more than there are bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** The families as text, one after the other; each line ends with a line feed. */
export function renderFamilies(families: readonly Family[]): string {
  let text = "";
  for (const family of families) {
    const { name, type, help } = family;
    text += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
    if (family.type === "histogram") {
      const bounds = [...family.bounds.map(formatValue), "+Inf"];
      for (const series of family.series) text += renderSeries(name, bounds, series);
    } else {
      for (const { labels, value } of family.samples) {
        text += `${name}${braces(renderLabels(labels))} ${formatValue(value)}\n`;
      }
    }
  }
  return text;
}

/** Buckets are cumulative in the text; the last one, `+Inf`, is the count of all. */
function renderSeries(name: string, bounds: readonly string[], series: HistogramSeries): string {
  const labels = renderLabels(series.labels);
  const before = labels === "" ? "" : `${labels},`;
  let text = "";
  let count = 0;
  bounds.forEach((bound, index) => {
    count += series.counts[index] ?? 0;
    text += `${name}_bucket{${before}le="${bound}"} ${count}\n`;
  });
  return `${text}${name}_sum${braces(labels)} ${formatValue(series.sum)}\n` +
    `${name}_count${braces(labels)} ${count}\n`;
}

function renderLabels(labels: Labels = {}): string {
  let text = "";
  for (const name in labels) {
    text += `${text === "" ? "" : ","}${name}="${escapeLabel(labels[name]!)}"`;
  }
  return text;
}

const braces = (labels: string) => labels === "" ? "" : `{${labels}}`;

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return /[\\"\n]/.test(text) ? escapeHelp(text).replaceAll('"', '\\"') : text;
}

/** As Go's `ParseFloat` reads it. */
function formatValue(value: number): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return String(value);
}
