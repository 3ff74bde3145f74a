import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { readRules, ruleFiles, ruleTestFiles } from "../../support/alert-rules.ts";
import { hasPromtool, runPromtool } from "../../support/promtool.ts";

const root = new URL("../../../", import.meta.url);
const read = (path: string) => Deno.readTextFile(new URL(path, root));
const path = (name: string) => fileURLToPath(new URL(`grafana/${name}`, root));

interface Alert {
  name: string;
  lines: string[];
}

/** All alerts, each with its lines. */
async function alerts(): Promise<Alert[]> {
  return (await readRules()).split(/^ {6}- alert: /m).slice(1).map((block) => {
    const [name, ...lines] = block.split("\n");
    return { name: name!, lines };
  });
}

const value = ({ lines }: Alert, key: string) =>
  lines.find((line) => line.trim().startsWith(`${key}:`))?.split(`${key}:`)[1]?.trim();

/** The anchor that GitHub makes of a heading. */
const anchor = (heading: string) =>
  heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");

Deno.test("the alerts that people count on are there", async () => {
  assert.deepEqual((await alerts()).map((alert) => alert.name), [
    "SchedulerJobFailing",
    "SchedulerJobStalled",
    "SchedulerOccurrenceMissed",
    "SchedulerPulseDead",
    "SchedulerPulseErrors",
    "SchedulerFireLagHigh",
    "SchedulerMetricsAbsent",
    "SchedulerMetricSourceFailed",
    "SchedulerBreakerOpen",
    "SchedulerContinuousDead",
    "SchedulerRunWaitsLong",
    "SchedulerIncidentLasts",
    "SchedulerBusy",
    "SchedulerBudgetUsedUp",
    "SchedulerAlertUndelivered",
    "XMRTNoActiveDevices",
    "XMRTChargingEfficiencyLow",
    "XMRTPoPValidationLow",
    "XMRTCommandFailureHigh",
    "BatchNotBegun",
    "BatchOpenTooLong",
    "BatchTasksFailing",
    "BatchProviderDown",
  ]);
});

Deno.test("every alert has a severity, a summary, a description, and a runbook link to its own heading", async () => {
  const runbook = await read("docs/operations.md");
  const anchors = [...runbook.matchAll(/^#{2,4} (.+)$/gm)].map((match) => anchor(match[1]!));
  for (const alert of await alerts()) {
    assert.ok(["warning", "critical"].includes(value(alert, "severity") ?? ""), alert.name);
    for (const key of ["summary", "description"]) {
      assert.ok((value(alert, key)?.length ?? 0) > 10, `${alert.name}: ${key}`);
    }
    const link = /operations\.md#([\w-]+)"$/.exec(value(alert, "runbook_url") ?? "")?.[1];
    assert.equal(link, alert.name.toLowerCase());
    assert.equal(anchors.filter((name) => name === link).length, 1, `${alert.name} in the runbook`);
  }
});

Deno.test("the runbook explains no alert that there is not", async () => {
  const section = (await read("docs/operations.md")).split("\n## Alerts\n")[1]!.split("\n## ")[0]!;
  const explained = [...section.matchAll(/^### (.+)$/gm)].map((match) => match[1]!);
  assert.deepEqual(explained, (await alerts()).map((alert) => alert.name));
});

Deno.test("each alert is seen firing in a test", async () => {
  const tests = (await Promise.all(ruleTestFiles.map((file) => Deno.readTextFile(file)))).join(
    "\n",
  );
  for (const { name } of await alerts()) {
    const mentions = [...tests.matchAll(
      new RegExp(`alertname: ${name}\\b[^]*?(?=alertname:|promql_expr_test|- name:|$)`, "g"),
    )];
    assert.ok(mentions.some(([text]) => text.includes("exp_labels")), `${name} fires in no test`);
  }
});

Deno.test({
  name: "promtool accepts the rules and the example configuration",
  ignore: !hasPromtool,
  async fn() {
    const rules = await runPromtool(["check", "rules", ...ruleFiles]);
    assert.ok(
      rules.success && (rules.output.match(/rules found/g) ?? []).length === ruleFiles.length,
      rules.output,
    );
    const config = await runPromtool(["check", "config", "--syntax-only", path("prometheus.yml")]);
    assert.ok(config.success, config.output);
  },
});

Deno.test({
  name: "promtool sees each rule fire and not fire as it should",
  ignore: !hasPromtool,
  async fn() {
    const { success, output } = await runPromtool(["test", "rules", ...ruleTestFiles]);
    assert.ok(success, output);
  },
});
