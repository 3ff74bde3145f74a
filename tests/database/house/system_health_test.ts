import assert from "node:assert/strict";
import { checkHealth, type CheckResult } from "../../../supabase/functions/system-health/check.ts";
import { evaluate, evaluateComponent } from "../../../supabase/functions/system-health/evaluate.ts";
import { renderReport } from "../../../supabase/functions/system-health/report.ts";
import { type TestDatabase, withDatabase } from "../../support/database.ts";
import {
  assertOnlyUnreadable,
  assertReadable,
  healthDatabase,
  installedJustNow,
  readDefinitions,
  readingOf,
} from "../../support/system-health.ts";

function check(db: TestDatabase): Promise<CheckResult> {
  const client = healthDatabase(db.connect("service_role"));
  const occurrence = {
    jobName: "system-health",
    scheduledFor: new Date("2026-03-01T10:20:00Z"),
    checkedAt: new Date(),
  };
  return checkHealth(client, occurrence, new AbortController().signal);
}

Deno.test("system-health is healthy in an empty young database", () =>
  withDatabase(async (db) => {
    await installedJustNow(db.sql);
    const result = await check(db);
    assert.equal(result.score, 100, result.report);
    assert.equal(result.summary, "100 of 100: all 14 components healthy");
    assert.deepEqual(result.notes, []);
  }));

const breakages: [string, string, RegExp][] = [
  ["agents", "alter table agents rename to gone", /^a table is missing: .*agents/],
  ["api_keys", "drop table api_key_health cascade", /^a table is missing: .*api_key_health/],
  ["tasks", "alter table tasks rename due_at to gone", /^a column is missing: .*due_at/],
  [
    "tasks",
    "alter table tasks drop constraint tasks_created_at_check; insert into tasks (title, created_at) values ('t', '-infinity')",
    /^bad data: /,
  ],
  [
    "charging",
    "revoke all on function devices.charging_health() from postgres",
    /^permission is missing: .*charging_health/,
  ],
  [
    "commands",
    "drop function devices.commands_health()",
    /^a function is missing: .*devices\.commands_health\(\)/,
  ],
];
for (const [component, breakage, reason] of breakages) {
  Deno.test(`${component} alone is critical after: ${breakage}`, () =>
    withDatabase(async (db) => {
      await db.sql.unsafe(breakage);
      assertOnlyUnreadable(await check(db), component, reason);
    }));
}

Deno.test("every figure of the house changes its status exactly at its thresholds", () =>
  withDatabase(async ({ sql }) => {
    for (const definition of await readDefinitions(sql)) {
      for (const { figure, worse, degraded, critical } of definition.figures) {
        const assertStatus = (value: number, status: string) =>
          assert.equal(
            evaluateComponent(definition, readingOf(definition, { [figure]: value })).status,
            status,
            `${definition.component}.${figure} of ${value}`,
          );
        const justBetter = worse === "higher" ? -0.1 : 0;
        const justWorse = worse === "higher" ? 0 : -0.1;
        if (degraded !== null) {
          assertStatus(degraded + justBetter, "healthy");
          assertStatus(degraded + justWorse, "degraded");
        }
        if (critical !== null) {
          assertStatus(critical + justBetter, degraded === null ? "healthy" : "degraded");
          assertStatus(critical + justWorse, "critical");
        }
        if (degraded === null && critical === null) {
          assertStatus(Number.MAX_SAFE_INTEGER, "healthy");
        }
      }
    }
  }));

Deno.test("every component of the house can become degraded and critical by its figures", () =>
  withDatabase(async ({ sql }) => {
    for (const { component, figures } of await readDefinitions(sql)) {
      assert.ok(figures.some((figure) => figure.degraded !== null), component);
      assert.ok(figures.some((figure) => figure.critical !== null), component);
    }
  }));

Deno.test("the weights of the house add up to 100, so that the points of a component are the score's", () =>
  withDatabase(async ({ sql }) => {
    const weights = (await readDefinitions(sql)).map(({ weight }) => weight);
    assert.equal(weights.reduce((sum, weight) => sum + weight, 0), 100);
  }));

Deno.test("the report of the house stays readable with large figures and failed components", () =>
  withDatabase(async ({ sql }) => {
    const definitions = await readDefinitions(sql);
    const reportOf = (value: number | string) => {
      const health = evaluate(definitions.map((definition) => ({
        definition,
        outcome: typeof value === "string" ? { unreadable: value } : readingOf(
          definition,
          Object.fromEntries(definition.figures.map(({ figure }) => [figure, value])),
        ),
      })));
      return renderReport(health, [], new Date());
    };
    for (const value of [0, 1, 49.9, 1e3, 1e6, 1e9, 1e12, 1e18, 1e308, "x".repeat(1000)]) {
      const report = reportOf(value);
      assertReadable(report);
      for (const { label } of definitions) assert.ok(report.includes(` ${label} `), label);
    }
  }));
