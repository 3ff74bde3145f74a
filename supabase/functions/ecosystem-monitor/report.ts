import { counted, printable, wrap } from "../../../shared/text.ts";
import type { Figures } from "./figures.ts";
import type { Part, Score, Scores } from "./scores.ts";

const width = 80;
const columns = { part: 24, value: 10, points: 10 };
const margin = columns.part + columns.value + columns.points;
const mostNotes = 12;

/** One line: "overall 63 of 100 (activity 71, infrastructure 55): 12 commits, …". */
export function headline(scores: Scores, figures: Figures): string {
  const { activity, infrastructure } = scores;
  const total = (name: string) => figures.activity.figures[name]?.total ?? null;
  const facts = [
    fact(total("commits"), "commit", "commits"),
    fact(total("pull_requests_merged"), "pull request merged", "pull requests merged"),
    fact(total("issues_closed"), "issue closed", "issues closed"),
    fact(total("releases"), "release", "releases"),
    fact(figures.infrastructure.active_devices, "device active", "devices active"),
  ].filter((one) => one !== null);
  return `overall ${outOf(scores.overall)} (activity ${known(activity.score)}, infrastructure ${
    known(infrastructure.score)
  })${facts.length === 0 ? "" : `: ${facts.join(", ")}`}`;
}

/**
 * The report for a log: printable ASCII, at most 80 columns, the scores with their parts, the busiest repositories, and
 * the missing figures. No line ends in a blank, and the text has no line break at its end.
 */
export function renderReport(
  dayName: string,
  scores: Scores,
  figures: Figures,
  notes: readonly string[],
): string {
  const lines = [
    "ECOSYSTEM".padEnd(width - dayName.length) + dayName,
    `Overall ${outOf(scores.overall)}`,
    "=".repeat(width),
    ...scoreLines("ACTIVITY", scores.activity),
    "-".repeat(width),
    ...scoreLines("INFRASTRUCTURE", scores.infrastructure),
    ...repositoryLines(figures.activity),
  ];
  if (notes.length > 0) {
    lines.push("-".repeat(width), "NOTES");
    for (const note of notes.slice(0, mostNotes)) lines.push(...bullet(note));
    if (notes.length > mostNotes) lines.push(`- and ${notes.length - mostNotes} more`);
  }
  lines.push("=".repeat(width));
  return lines.map((line) => line.trimEnd()).join("\n");
}

function scoreLines(title: string, { score, parts }: Score): string[] {
  return [
    row(`${title} ${outOf(score)}`, "", "POINTS", "WHY"),
    ...Object.values(parts).flatMap(partLines),
  ];
}

function partLines({ label, value, points, of, why }: Part): string[] {
  const earned = points === null ? `-/${of}` : `${points}/${of}`;
  const [first = "", ...others] = wrap(printable(why), width - margin - 2, 2);
  return [
    row(`  ${label}`, value === null ? "unknown" : format(value), earned, first),
    ...others.map((text) => " ".repeat(margin + 2) + text),
  ];
}

/** A title without a value may extend into the column of values. */
function row(part: string, value: string, points: string, why: string): string {
  const room = columns.part + columns.value;
  return (value === ""
    ? part.padEnd(room)
    : part.padEnd(columns.part) + value.padStart(columns.value)) +
    points.padStart(columns.points) + `  ${why}`;
}

function repositoryLines({ busiest, with_figures }: Figures["activity"]): string[] {
  if (busiest.length === 0) return [];
  const line = (name: string, ...cells: [string, string, string, string, string]) => {
    const figures = cells.map((cell, index) => ` ${cell}`.padStart([8, 9, 9, 9, 14][index] ?? 0))
      .join("");
    // The figures get their space first; a name that is too long for the rest is cut.
    const room = Math.max(8, width - figures.length);
    return printable(name, room).padEnd(room) + figures;
  };
  const pair = (first: number | null, second: number | null) =>
    `${first === null ? "?" : format(first)}/${second === null ? "?" : format(second)}`;
  const lines = busiest.map((one) =>
    line(
      one.full_name,
      one.commits === null ? "?" : format(one.commits),
      pair(one.issues_opened, one.issues_closed),
      pair(one.pull_requests_opened, one.pull_requests_merged),
      one.releases === null ? "?" : format(one.releases),
      (one.stars_total === null ? "?" : format(one.stars_total)) +
        (one.stars_gained === null
          ? ""
          : ` ${one.stars_gained < 0 ? "" : "+"}${format(one.stars_gained)}`),
    )
  );
  return [
    "-".repeat(width),
    line("REPOSITORY", "COMMITS", "ISSUES", "PULLS", "RELEASES", "STARS"),
    ...lines,
    ...(with_figures > busiest.length ? [`and ${format(with_figures - busiest.length)} more`] : []),
  ];
}

function bullet(note: string): string[] {
  return wrap(printable(note), width - 2, 0).map((line, index) =>
    index === 0 ? `- ${line}` : `  ${line}`
  );
}

function outOf(score: number | null): string {
  return score === null ? "unknown" : `${score} of 100`;
}

function known(score: number | null): string {
  return score === null ? "unknown" : String(score);
}

function fact(amount: number | null, one: string, many: string): string | null {
  return amount === null ? null : counted(amount, one, many);
}

function format(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}
