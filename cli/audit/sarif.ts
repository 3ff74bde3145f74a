/** An audit as SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), for code scanning in CI. */
import type { Audit } from "./audit.ts";
import type { Entry } from "./entry.ts";
import type { Finding } from "./finding.ts";

export function sarifOf({ findings, score, unknown }: Audit, version: string): object {
  const rules = [...new Set(findings.map(({ rule }) => rule))].sort();
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [{
      tool: {
        driver: {
          name: "daybook audit",
          semanticVersion: version,
          rules: rules.map((id) => ({
            id,
            shortDescription: { text: id.replaceAll("-", " ") },
            help: { text: findings.find(({ rule }) => rule === id)!.mend },
          })),
        },
      },
      results: findings.map((finding) => resultOf(finding, rules)),
      invocations: [{
        executionSuccessful: true,
        toolExecutionNotifications: unknown.map((text) => ({ level: "note", message: { text } })),
      }],
      properties: { score },
    }],
  };
}

function resultOf(finding: Finding, rules: string[]) {
  const { rule, severity, certainty, title, entries, evidence, cost, mend } = finding;
  // A result that is no failure has no level.
  const isOpen = certainty === "not knowable here";
  return {
    ruleId: rule,
    ruleIndex: rules.indexOf(rule),
    kind: isOpen ? "open" : "fail",
    level: isOpen ? "none" : severity,
    message: { text: [`${title}.`, ...evidence, `Cost: ${cost}.`, `Mend: ${mend}.`].join("\n") },
    locations: entries.map(locationOf),
    partialFingerprints: {
      "ruleAndEntries/v1": [rule, ...entries.map(({ name }) => name)].join("/"),
    },
    properties: { certainty },
  };
}

function locationOf({ where, name }: Entry) {
  const logicalLocations = [{ name, fullyQualifiedName: where, kind: "resource" }];
  const [, uri, line] = /^(.+):(\d+)$/.exec(where) ?? [];
  if (uri === undefined || uri === "stdin") return { logicalLocations };
  return {
    physicalLocation: {
      artifactLocation: { uri: encodeURI(uri.replaceAll("\\", "/")) },
      region: { startLine: Number(line) },
    },
    logicalLocations,
  };
}
