import assert from "node:assert/strict";
import type { JsonObject } from "../../shared/define-job.ts";
import {
  type ComponentName,
  componentNames,
  definitions,
} from "../../supabase/functions/system-health/components.ts";
import {
  evaluate,
  evaluateComponent,
  evaluateFigure,
  summarize,
} from "../../supabase/functions/system-health/evaluate.ts";
import type { ReadingOutcome } from "../../supabase/functions/system-health/reading.ts";

/** A reading in which every figure is unknown but those given. */
function readingOf(
  component: ComponentName,
  figures: Record<string, number | null> = {},
): ReadingOutcome {
  const unknown = Object.fromEntries(
    Object.keys(definitions[component].figures).map((name) => [name, null]),
  );
  return { reading: { watched: 1, figures: { ...unknown, ...figures }, details: {}, notes: [] } };
}

function readings(
  changed: Partial<Record<ComponentName, ReadingOutcome>> = {},
): Record<ComponentName, ReadingOutcome> {
  const all = componentNames.map((name) => [name, changed[name] ?? readingOf(name)]);
  return Object.fromEntries(all);
}

for (const name of componentNames) {
  for (const [figureName, figure] of Object.entries(definitions[name].figures)) {
    Deno.test(`${name}.${figureName} changes its status exactly at its thresholds`, () => {
      const statusAt = (value: number) =>
        evaluateComponent(definitions[name], readingOf(name, { [figureName]: value })).status;
      const justBetter = figure.worse === "higher" ? -0.1 : 0;
      const justWorse = figure.worse === "higher" ? 0 : -0.1;
      if (figure.degraded !== null) {
        assert.equal(statusAt(figure.degraded + justBetter), "healthy");
        assert.equal(statusAt(figure.degraded + justWorse), "degraded");
      }
      if (figure.critical !== null) {
        const before = figure.degraded === null ? "healthy" : "degraded";
        assert.equal(statusAt(figure.critical + justBetter), before);
        assert.equal(statusAt(figure.critical + justWorse), "critical");
      }
      if (figure.degraded === null && figure.critical === null) {
        assert.equal(statusAt(Number.MAX_SAFE_INTEGER), "healthy");
      }
    });
  }
}

Deno.test("every component can become degraded and critical by its figures", () => {
  for (const name of componentNames) {
    const figures = Object.values(definitions[name].figures);
    assert.ok(figures.some((figure) => figure.degraded !== null), name);
    assert.ok(figures.some((figure) => figure.critical !== null), name);
  }
});

Deno.test("a figure that tells nothing is healthy", () => {
  for (const name of componentNames) {
    assert.equal(evaluateComponent(definitions[name], readingOf(name)).status, "healthy");
  }
});

Deno.test("a figure without thresholds is never in trouble", () => {
  const figure = {
    label: "x",
    unit: "count",
    worse: "higher",
    degraded: null,
    critical: null,
    culprit: null,
  } as const;
  assert.equal(evaluateFigure(1e300, figure), "healthy");
});

Deno.test("a component is as ill as its worst figure", () => {
  const verdict = evaluateComponent(
    definitions.tasks,
    readingOf("tasks", { failed_percent: 15, stuck_tasks: 10, overdue_percent: 0 }),
  );
  assert.equal(verdict.status, "critical");
  assert.equal(verdict.figures.failed_percent?.status, "degraded");
  assert.equal(verdict.figures.stuck_tasks?.status, "critical");
  assert.equal(verdict.figures.overdue_percent?.status, "healthy");
});

Deno.test("a figure names its culprit where the details have one", () => {
  const culprits = (details: JsonObject) => {
    const outcome = { reading: { watched: 1, figures: { stuck_runs: 2 }, details, notes: [] } };
    return evaluateComponent(definitions.scheduler, outcome).figures.stuck_runs?.culprit;
  };
  assert.equal(culprits({ oldest_stuck: "nightly" }), "nightly");
  assert.equal(culprits({ oldest_stuck: 7 }), null);
  assert.equal(culprits({}), null);
});

Deno.test("a component that cannot be read is critical, with the reason and without points", () => {
  const verdict = evaluateComponent(definitions.pop, { unreadable: "a table is missing" });
  assert.equal(verdict.status, "critical");
  assert.equal(verdict.unreadable, "a table is missing");
  assert.equal(verdict.points, 0);
});

Deno.test("the weights are even and add up to 100", () => {
  const weights = componentNames.map((name) => definitions[name].weight);
  assert.equal(weights.reduce((sum, weight) => sum + weight, 0), 100);
  assert.ok(weights.every((weight) => weight > 0 && weight % 2 === 0));
});

Deno.test("the score is 100 when all is well and 0 when nothing can be read", () => {
  assert.equal(evaluate(definitions, readings()).score, 100);
  const nothing = Object.fromEntries(
    componentNames.map((name) => [name, { unreadable: "gone" }]),
  ) as Record<ComponentName, ReadingOutcome>;
  assert.equal(evaluate(definitions, nothing).score, 0);
});

Deno.test("a critical component costs its weight and a degraded one half of it", () => {
  for (const name of componentNames) {
    const { weight } = definitions[name];
    const critical = evaluate(definitions, readings({ [name]: { unreadable: "gone" } }));
    assert.equal(critical.score, 100 - weight);
    assert.equal(critical.status, "critical");
    const [figureName, figure] = Object.entries(definitions[name].figures)
      .find(([, one]) => one.degraded !== null) ?? assert.fail(name);
    const value = (figure.degraded ?? 0) - (figure.worse === "lower" ? 0.1 : 0);
    const degraded = evaluate(
      definitions,
      readings({ [name]: readingOf(name, { [figureName]: value }) }),
    );
    assert.equal(degraded.score, 100 - weight / 2);
    assert.equal(degraded.status, "degraded");
  }
});

Deno.test("the score is the sum of the parts", () => {
  const health = evaluate(
    definitions,
    readings({
      scheduler: { unreadable: "gone" },
      tasks: readingOf("tasks", { stuck_tasks: 1 }),
      api_keys: readingOf("api_keys", { unusable_keys: 2 }),
    }),
  );
  const parts = Object.values(health.components).map((component) => component.points);
  assert.equal(health.score, parts.reduce((sum, points) => sum + points, 0));
  assert.equal(health.score, 100 - 18 - 3 - 8);
});

Deno.test("the summary names what is ill, the worst first, and no more than fits a line", () => {
  assert.equal(
    summarize(evaluate(definitions, readings())),
    "100 of 100: all 14 components healthy",
  );
  const some = readings({
    database: readingOf("database", { connections_percent: 70 }),
    python: { unreadable: "gone" },
    pop: { unreadable: "gone" },
  });
  assert.equal(
    summarize(evaluate(definitions, some)),
    "83 of 100: critical PoP, Python executions; degraded Database",
  );
  const many = Object.fromEntries(
    componentNames.map((name) => [name, { unreadable: "gone" }]),
  ) as Record<ComponentName, ReadingOutcome>;
  assert.equal(
    summarize(evaluate(definitions, many)),
    "0 of 100: critical Database, Scheduler, Devices and 11 more",
  );
});
