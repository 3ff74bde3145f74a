import type { Entry } from "./entry.ts";

export const severities = ["error", "warning", "note"] as const;
export type Severity = typeof severities[number];

const certainties = ["proven", "likely", "not knowable here"] as const;
export type Certainty = typeof certainties[number];

export interface Finding {
  rule: string;
  severity: Severity;
  certainty: Certainty;
  /** One sentence without a full stop. */
  title: string;
  entries: Entry[];
  /** What shows it, a line each. */
  evidence: string[];
  /** What it costs or risks. */
  cost: string;
  /** What to do. */
  mend: string;
}

/** Worst first, of those the surest, then those of the most entries. */
export function byWeight(a: Finding, b: Finding): number {
  return severities.indexOf(a.severity) - severities.indexOf(b.severity) ||
    certainties.indexOf(a.certainty) - certainties.indexOf(b.certainty) ||
    b.entries.length - a.entries.length;
}

const costs: Record<Severity, number> = { error: 15, warning: 5, note: 1 };

/** 100 less 15 for an error, 5 for a warning, 1 for a note; half of it where it is only likely; never below 0. */
export function scoreOf(findings: readonly Finding[]): number {
  const lost = findings.reduce((sum, { severity, certainty }) => {
    const share = certainty === "proven" ? 1 : certainty === "likely" ? 0.5 : 0;
    return sum + costs[severity] * share;
  }, 0);
  return Math.max(0, Math.floor(100 - lost));
}
