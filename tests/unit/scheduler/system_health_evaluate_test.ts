import assert from "node:assert/strict";
import type { JsonObject } from "../../../shared/job/define-job.ts";
import type {
  ComponentDefinition,
  FigureDefinition,
} from "../../../supabase/functions/system-health/components.ts";
import {
  evaluate,
  evaluateComponent,
  evaluateFigure,
  summarize,
} from "../../../supabase/functions/system-health/evaluate.ts";
import type { ReadingOutcome } from "../../../supabase/functions/system-health/reading.ts";
import { defined, readingOf } from "../../support/system-health.ts";

const scheduler = defined("scheduler", "Scheduler", 18, {
  stuck_runs: { degraded: 1, critical: 5, culprit: "oldest_stuck" },
});
const tasks = defined("tasks", "Tasks", 6, {
  failed_percent: { degraded: 10, critical: 30 },
  stuck_tasks: { degraded: 1, critical: 10 },
  overdue_percent: { degraded: 10, critical: 50 },
});
const apiKeys = defined("api_keys", "API keys", 8, {
  unusable_keys: { degraded: null, critical: 1 },
  expires_in_seconds: { worse: "lower", degraded: 1_209_600, critical: 259_200 },
});
const pop = defined("pop", "PoP", 4, { oldest_pending_seconds: { degraded: 60 } });
const python = defined("python", "Python executions", 4, { stuck_executions: {} });
const all = [scheduler, tasks, apiKeys, pop, python];

/** All of these components; those that have no outcome are healthy. */
const judged = (
  outcomes: Record<string, ReadingOutcome> = {},
  definitions: ComponentDefinition[] = all,
) =>
  evaluate(
    definitions.map((definition) => ({
      definition,
      outcome: outcomes[definition.component] ?? readingOf(definition),
    })),
  );

const gone: ReadingOutcome = { unreadable: "gone" };

const figure = (values: Partial<FigureDefinition>) =>
  defined("c", "C", 2, { f: values }).figures[0]!;

const cases: [Partial<FigureDefinition>, [number | null, string][]][] = [
  [{ worse: "higher", degraded: 70, critical: 90 }, [
    [0, "healthy"],
    [69.9, "healthy"],
    [70, "degraded"],
    [89.9, "degraded"],
    [90, "critical"],
    [1e300, "critical"],
    [null, "healthy"],
  ]],
  [{ worse: "lower", degraded: 95, critical: 80 }, [
    [100, "healthy"],
    [95, "healthy"],
    [94.9, "degraded"],
    [80, "degraded"],
    [79.9, "critical"],
    [0, "critical"],
    [null, "healthy"],
  ]],
  [{ worse: "higher", degraded: 1, critical: null }, [
    [0.9, "healthy"],
    [1, "degraded"],
    [1e300, "degraded"],
  ]],
  [{ worse: "higher", degraded: null, critical: 1 }, [[0.9, "healthy"], [1, "critical"]]],
  [{ worse: "lower", degraded: null, critical: 1 }, [[1, "healthy"], [0.9, "critical"]]],
  [{ worse: "higher", degraded: 5, critical: 5 }, [[4.9, "healthy"], [5, "critical"]]],
  [{ worse: "higher", degraded: 0, critical: null }, [[0, "degraded"], [null, "healthy"]]],
  [{ worse: "higher", degraded: null, critical: null }, [[0, "healthy"], [1e300, "healthy"]]],
];

for (const [values, statuses] of cases) {
  Deno.test(`a figure with ${JSON.stringify(values)} changes its status exactly at its thresholds`, () => {
    for (const [value, status] of statuses) {
      assert.equal(evaluateFigure(value, figure(values)), status, String(value));
    }
  });
}

Deno.test("a figure that tells nothing is healthy", () => {
  for (const definition of all) {
    assert.equal(evaluateComponent(definition, readingOf(definition)).status, "healthy");
  }
});

Deno.test("a component is as ill as its worst figure", () => {
  const verdict = evaluateComponent(
    tasks,
    readingOf(tasks, { failed_percent: 15, stuck_tasks: 10, overdue_percent: 0 }),
  );
  assert.equal(verdict.status, "critical");
  assert.equal(verdict.figures.failed_percent?.status, "degraded");
  assert.equal(verdict.figures.stuck_tasks?.status, "critical");
  assert.equal(verdict.figures.overdue_percent?.status, "healthy");
});

Deno.test("a verdict has each figure with its value and its thresholds, in the order of the definition", () => {
  const verdict = evaluateComponent(apiKeys, {
    reading: {
      watched: 7,
      // More than was defined: a function that is newer than its definition.
      figures: { expires_in_seconds: 300_000, unusable_keys: 0, unheard_of: 9 },
      details: { keys: 7 },
      notes: ["n"],
    },
  });
  assert.deepEqual(Object.keys(verdict.figures), ["unusable_keys", "expires_in_seconds"]);
  assert.deepEqual(verdict.figures.expires_in_seconds, {
    label: "expires in seconds",
    value: 300_000,
    unit: "count",
    worse: "lower",
    degraded: 1_209_600,
    critical: 259_200,
    status: "degraded",
    culprit: null,
  });
  const { figures: _, ...rest } = verdict;
  assert.deepEqual(rest, {
    label: "API keys",
    status: "degraded",
    points: 4,
    weight: 8,
    watched: 7,
    unreadable: null,
    details: { keys: 7 },
  });
});

Deno.test("a figure names its culprit where the details have one", () => {
  const culprits = (details: JsonObject) =>
    evaluateComponent(scheduler, readingOf(scheduler, { stuck_runs: 2 }, { details }))
      .figures.stuck_runs?.culprit;
  assert.equal(culprits({ oldest_stuck: "nightly" }), "nightly");
  assert.equal(culprits({ oldest_stuck: 7 }), null);
  assert.equal(culprits({}), null);
});

Deno.test("a component that cannot be read is critical, with the reason and without points", () => {
  const verdict = evaluateComponent(pop, { unreadable: "a table is missing" });
  assert.equal(verdict.status, "critical");
  assert.equal(verdict.unreadable, "a table is missing");
  assert.equal(verdict.points, 0);
  assert.equal(verdict.watched, null);
  assert.deepEqual(verdict.figures, {});
});

Deno.test("the score is 100 when all is well and 0 when nothing can be read", () => {
  assert.equal(judged().score, 100);
  const nothing = Object.fromEntries(all.map(({ component }) => [component, gone]));
  assert.equal(judged(nothing).score, 0);
});

Deno.test("a critical component costs its weight and a degraded one half of it, in percent of all weights", () => {
  const weights = [4, 18, 28];
  const definitions = weights.map((weight, index) =>
    defined(`c${index}`, `C ${index}`, weight, { trouble: { critical: 2 } })
  );
  for (const definition of definitions) {
    const { component, weight } = definition;
    const critical = judged({ [component]: gone }, definitions);
    assert.equal(critical.score, 100 - 2 * weight);
    assert.equal(critical.status, "critical");
    const degraded = judged({ [component]: readingOf(definition, { trouble: 1 }) }, definitions);
    assert.equal(degraded.score, 100 - weight);
    assert.equal(degraded.status, "degraded");
  }
});

Deno.test("the score is the sum of the parts, and the status the worst of them", () => {
  const health = judged({
    scheduler: gone,
    tasks: readingOf(tasks, { stuck_tasks: 1 }),
    api_keys: readingOf(apiKeys, { unusable_keys: 2 }),
  });
  const parts = Object.values(health.components).map((component) => component.points);
  assert.deepEqual(parts, [0, 3, 0, 4, 4]);
  // 11 of 40 points.
  assert.equal(health.score, 27);
  assert.equal(health.status, "critical");
});

Deno.test("the score is 100 only when every component is healthy", () => {
  const heavy = Array.from(
    { length: 5 },
    (_, index) => defined(`heavy${index}`, `Heavy ${index}`, 100, { trouble: {} }),
  );
  const light = defined("light", "Light", 2, { trouble: {} });
  const health = judged({ light: readingOf(light, { trouble: 1 }) }, [...heavy, light]);
  assert.equal(health.status, "degraded");
  assert.equal(health.score, 99);
});

Deno.test("the summary names degraded and critical components, the worst first, within one line", () => {
  assert.equal(summarize(judged()), "100 of 100: all 5 components healthy");
  assert.equal(
    summarize(judged({
      scheduler: readingOf(scheduler, { stuck_runs: 1 }),
      python: gone,
      pop: gone,
    })),
    "57 of 100: critical PoP, Python executions; degraded Scheduler",
  );
  const nothing = Object.fromEntries(all.map(({ component }) => [component, gone]));
  assert.equal(
    summarize(judged(nothing)),
    "0 of 100: critical Scheduler, Tasks, API keys and 2 more",
  );
});
