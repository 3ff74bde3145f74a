/** An audit as text. */
import { styleText } from "node:util";
import type { Audit } from "./audit.ts";
import type { Finding, Severity } from "./finding.ts";
import { severities } from "./finding.ts";
import { drawDay, type Paint } from "./picture.ts";
import { listed } from "./words.ts";
import { counted, wrap } from "../../shared/text.ts";

const width = 80;

export function report(audit: Audit, what: string, colours: boolean): string {
  const paint: Paint = (colour, text) =>
    colours ? styleText(colour, text, { validateStream: false }) : text;
  const counts = severities.flatMap((severity) => {
    const count = audit.findings.filter((finding) =>
      finding.severity === severity && finding.certainty !== "not knowable here"
    ).length;
    return count === 0 ? [] : [counted(count, severity)];
  });
  const colour = audit.score >= 80 ? "green" : audit.score >= 50 ? "yellow" : "red";
  const picture = drawDay(audit.entries, audit.timetable, paint);
  return [
    `Audit of ${what}: ${counted(audit.entries.length, "entry", "entries")}\nScore ${
      paint(colour, `${audit.score} of 100`)
    }: ${listed(counts) || "nothing found"}`,
    ...audit.findings.map((finding) => describe(finding, paint)),
    ...(picture === undefined ? [] : [picture]),
    ...(audit.unknown.length === 0 ? [] : [
      `Not knowable here\n${audit.unknown.map((line) => hang("- ", line)).join("\n")}`,
    ]),
  ].join("\n\n");
}

const colourOf: Record<Severity, "red" | "yellow" | "dim"> = {
  error: "red",
  warning: "yellow",
  note: "dim",
};

function describe(finding: Finding, paint: Paint): string {
  const { severity, certainty, rule, title, evidence, cost, mend } = finding;
  return [
    `${paint(colourOf[severity], severity.toUpperCase())}, ${certainty}: ${rule}`,
    paint("bold", hang("", title)),
    ...shortened(evidence).map((line, index) => hang(index === 0 ? "  why   " : "        ", line)),
    hang("  cost  ", cost),
    hang("  mend  ", mend),
  ].join("\n");
}

/** A screen is short; `--json` has all of it. */
function shortened(evidence: readonly string[]): string[] {
  return evidence.length <= 8
    ? [...evidence]
    : [...evidence.slice(0, 7), `and ${evidence.length - 7} lines more, which --json has`];
}

/** Commands and messages may hold anything: control characters, which could steer the terminal, become blanks. */
function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x20\x7f-\x9f]+/g, " ").trim();
}

/** One line of text, wrapped: further lines begin below the first one's text. */
export function hang(first: string, text: string): string {
  return first + wrap(oneLine(text), width - first.length, 0).join(`\n${" ".repeat(first.length)}`);
}
