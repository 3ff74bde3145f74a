import type { ComponentVerdict, FigureVerdict, Health } from "./evaluate.ts";
import { formatFigure } from "./format.ts";
import { printable, wrap } from "../../../shared/text.ts";

const width = 80;
const columns = { status: 10, component: 19, points: 8 };
const margin = columns.status + columns.component + columns.points;
const mostNotes = 12;
const indent = 2;
/** A placeholder for a blank at which no line breaks. printable() removes this character from all texts. */
const glue = "\x1f";

/**
 * The report for a log: printable ASCII, at most 80 columns, the worst component first, each with the figures and
 * thresholds behind its status. No line ends in a blank, and the text has no line break at its end.
 */
export function renderReport(
  health: Health,
  notes: readonly string[],
  checkedAt: Date,
): string {
  const verdicts = Object.values(health.components);
  const time = `${checkedAt.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const counts = (["critical", "degraded", "healthy"] as const).map((status) =>
    `${verdicts.filter((verdict) => verdict.status === status).length} ${status}`
  );
  const lines = [
    "SYSTEM HEALTH".padEnd(width - time.length) + time,
    `Score ${health.score} of 100, ${health.status}: ${counts.join(", ")}`,
    "=".repeat(width),
    row("STATUS", "COMPONENT", "POINTS", "WHAT SAYS SO"),
    "-".repeat(width),
  ];
  for (const status of ["critical", "degraded", "healthy"] as const) {
    for (const verdict of verdicts.filter((one) => one.status === status)) {
      lines.push(...componentLines(verdict));
    }
  }
  if (notes.length > 0) {
    lines.push("-".repeat(width), "NOTES");
    for (const note of notes.slice(0, mostNotes)) lines.push(...bullet(note));
    if (notes.length > mostNotes) {
      lines.push(...bullet(`and ${notes.length - mostNotes} more`));
    }
  }
  lines.push("=".repeat(width));
  return lines.map((line) => line.trimEnd()).join("\n");
}

function row(
  status: string,
  component: string,
  points: string,
  text: string,
): string {
  return status.padEnd(columns.status) + component.padEnd(columns.component) +
    points.padStart(columns.points - 2).padEnd(columns.points) + text;
}

function componentLines(verdict: ComponentVerdict): string[] {
  const status = verdict.status === "healthy" ? "healthy" : verdict.status.toUpperCase();
  const texts = whatSaysSo(verdict).flatMap((text) => wrap(text, width - margin, indent)).map((
    line,
  ) => line.replaceAll(glue, " "));
  const [first = "", ...others] = texts;
  const label = printable(verdict.label, columns.component - 1);
  return [
    row(status, label, `${verdict.points}/${verdict.weight}`, first),
    ...others.map((text) => " ".repeat(margin) + text),
  ];
}

function whatSaysSo(verdict: ComponentVerdict): string[] {
  if (verdict.unreadable !== null) {
    return [printable(`cannot be read: ${verdict.unreadable}`)];
  }
  const figures = Object.values(verdict.figures);
  if (verdict.status !== "healthy") {
    return (["critical", "degraded"] as const).flatMap((status) =>
      figures.filter((figure) => figure.status === status).map(withThreshold)
    );
  }
  if (verdict.watched === 0) return ["nothing to watch"];
  const known = figures.filter((figure) => figure.value !== null).slice(0, 2)
    .map(withValue);
  return [known.length > 0 ? known.join(", ") : "too little to tell"];
}

function withValue(figure: FigureVerdict): string {
  return together(`${printable(figure.label)} ${formatFigure(figure.value ?? 0, figure.unit)}`);
}

function withThreshold(figure: FigureVerdict): string {
  const threshold = figure.status === "critical" ? figure.critical : figure.degraded;
  const word = figure.worse === "higher" ? "from" : "below";
  const reached = `(${figure.status} ${word} ${formatFigure(threshold ?? 0, figure.unit)})`;
  const culprit = figure.culprit === null ? "" : `: ${printable(figure.culprit)}`;
  return `${withValue(figure)} ${together(reached)}${culprit}`;
}

function together(text: string): string {
  return text.length <= width - margin - indent ? text.replaceAll(" ", glue) : text;
}

function bullet(note: string): string[] {
  return wrap(printable(note), width - 2, indent).map((line, index) =>
    index === 0 ? `- ${line}` : `  ${line}`
  );
}
