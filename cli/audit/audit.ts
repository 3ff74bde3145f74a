/** The audit itself: entries and what is known of them in, findings out. */
import type { Rule } from "./audited.ts";
import type { Entry } from "./entry.ts";
import type { Facts } from "./facts.ts";
import { byWeight, type Finding, scoreOf } from "./finding.ts";
import { maskFor } from "./secrets.ts";
import { Timetable } from "./timetable.ts";
import { answers } from "./rules/answers.ts";
import { budgets } from "./rules/budgets.ts";
import { cannotSucceed } from "./rules/cannot-succeed.ts";
import { changeDays } from "./rules/change-days.ts";
import { failedRuns } from "./rules/failed-runs.ts";
import { idleHours } from "./rules/idle-hours.ts";
import { legacyKeys, secretsInCommands, secretsInSettings } from "./rules/secrets.ts";
import { neverOccurs } from "./rules/never-occurs.ts";
import { outlastsInterval } from "./rules/outlasts-interval.ts";
import { runDetailsGrow } from "./rules/run-details.ts";
import { sameWork } from "./rules/same-work.ts";
import { sharedMinutes } from "./rules/shared-minutes.ts";
import { shortTimeout } from "./rules/short-timeout.ts";
import { utcCalledLocal } from "./rules/utc-called-local.ts";
import { zonePairRule } from "./rules/zone-pair.ts";

const rules: readonly Rule[] = [
  secretsInCommands,
  secretsInSettings,
  legacyKeys,
  cannotSucceed,
  failedRuns,
  answers,
  shortTimeout,
  outlastsInterval,
  sameWork,
  zonePairRule,
  changeDays,
  utcCalledLocal,
  idleHours,
  neverOccurs,
  budgets,
  sharedMinutes,
  runDetailsGrow,
];

export interface Audit {
  score: number;
  findings: Finding[];
  entries: readonly Entry[];
  timetable: Timetable;
  unknown: string[];
}

/** Worst first. No text of a finding or an entry holds a secret. */
export function audit(entries: readonly Entry[], facts: Facts): Audit {
  const mask = maskFor([
    ...entries.map(({ command }) => command),
    ...entries.map(({ name }) => name),
    ...(facts.database?.settings ?? []).map(({ name, value }) => `${name}='${value}'`),
  ]);
  const timetable = new Timetable(facts.now);
  const audited = { entries, facts, timetable };
  const findings = rules.flatMap((rule) => rule(audited)).sort(byWeight);
  const maskEntry = (entry: Entry): Entry => ({
    ...entry,
    name: mask(entry.name),
    command: mask(entry.command),
    work: { ...entry.work, label: mask(entry.work.label) },
  });
  return {
    score: scoreOf(findings),
    entries,
    timetable,
    unknown: facts.unknown.map(mask),
    findings: findings.map((finding) => ({
      ...finding,
      title: mask(finding.title),
      evidence: finding.evidence.map(mask),
      entries: finding.entries.map(maskEntry),
    })),
  };
}
