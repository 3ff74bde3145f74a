import type { Audited } from "../audited.ts";
import type { Finding } from "../finding.ts";
import { listed, namesOf } from "../words.ts";

/** Entries whose database, owner, functions or tables are not there. */
export function cannotSucceed({ entries, facts: { database: known } }: Audited): Finding[] {
  if (known === undefined) return [];
  const active = entries.filter(({ active, database }) => active && database !== undefined);
  const broken = active.flatMap((entry) => {
    const reasons: string[] = [];
    const place = known.databases.find(({ name }) => name === entry.database);
    const owner = known.roles.find(({ name }) => name === entry.username);
    if (place === undefined) reasons.push(`there is no database ${entry.database}`);
    if (place?.allowsConnections === false) {
      reasons.push(`the database ${entry.database} allows no connections`);
    }
    if (owner === undefined) reasons.push(`there is no role ${entry.username}`);
    if (owner?.canLogin === false) reasons.push(`the role ${entry.username} may not log in`);
    const missing = known.missing[entry.where] ?? [];
    if (missing.length > 0) reasons.push(`there is no ${listed(missing)}`);
    return reasons.length === 0 ? [] : [{ entry, reasons }];
  });
  const elsewhere = active.filter(({ database }) =>
    database !== known.database && known.databases.some(({ name }) => name === database)
  );
  const findings: Finding[] = [];
  if (broken.length > 0) {
    findings.push({
      rule: "cannot-succeed",
      severity: "error",
      certainty: "proven",
      title: `${namesOf(broken.map(({ entry }) => entry))} cannot succeed`,
      entries: broken.map(({ entry }) => entry),
      evidence: broken.map(({ entry, reasons }) =>
        `${entry.where}, ${entry.name}: ${listed(reasons)}`
      ),
      cost: "Every run fails, and its work is not done",
      mend: "Make what is missing, or take the entry out",
    });
  }
  if (elsewhere.length > 0) {
    findings.push({
      rule: "cannot-succeed",
      severity: "note",
      certainty: "not knowable here",
      title: `${
        namesOf(elsewhere)
      }: run in another database, whose functions and tables are not seen`,
      entries: elsewhere,
      evidence: elsewhere.map(({ where, database }) => `${where} runs in ${database}`),
      cost: "Whether these can succeed is not known",
      mend: "Look whether their functions and tables are there",
    });
  }
  return findings;
}
