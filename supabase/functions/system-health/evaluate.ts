import type { JsonObject } from "../../../shared/job/define-job.ts";
import type { ComponentDefinition, FigureDefinition, Unit } from "./components.ts";
import type { ReadingOutcome } from "./reading.ts";

export type Status = "healthy" | "degraded" | "critical";

/** These are type aliases because interfaces are not assignable to JsonObject. */
export type FigureVerdict = {
  label: string;
  value: number | null;
  unit: Unit;
  worse: "higher" | "lower";
  degraded: number | null;
  critical: number | null;
  status: Status;
  /** The culprit, where it is known: a job, a table, an agent. */
  culprit: string | null;
};

export type ComponentVerdict = {
  label: string;
  status: Status;
  points: number;
  weight: number;
  /** The number of watched things; null when the component could not be read. */
  watched: number | null;
  /** Why the component could not be read; null when it could. */
  unreadable: string | null;
  figures: Record<string, FigureVerdict>;
  details: JsonObject;
};

export type Health = {
  score: number;
  status: Status;
  components: Record<string, ComponentVerdict>;
};

const severity: Record<Status, number> = {
  healthy: 0,
  degraded: 1,
  critical: 2,
};
const shareOfPoints: Record<Status, number> = {
  healthy: 1,
  degraded: 0.5,
  critical: 0,
};

/** The worst of the statuses; healthy when there are none. */
export function worst(statuses: Iterable<Status>): Status {
  let result: Status = "healthy";
  for (const status of statuses) {
    if (severity[status] > severity[result]) result = status;
  }
  return result;
}

/** `higher` is bad at or above the threshold, `lower` below it. A figure of null is healthy. */
export function evaluateFigure(
  value: number | null,
  definition: Pick<FigureDefinition, "worse" | "degraded" | "critical">,
): Status {
  const reached = (threshold: number | null) =>
    value !== null && threshold !== null &&
    (definition.worse === "higher" ? value >= threshold : value < threshold);
  if (reached(definition.critical)) return "critical";
  return reached(definition.degraded) ? "degraded" : "healthy";
}

/** A component has the status of its worst figure. An unreadable component is critical. */
export function evaluateComponent(
  definition: ComponentDefinition,
  outcome: ReadingOutcome,
): ComponentVerdict {
  const { label, weight } = definition;
  if ("unreadable" in outcome) {
    return {
      label,
      status: "critical",
      points: 0,
      weight,
      watched: null,
      unreadable: outcome.unreadable,
      figures: {},
      details: {},
    };
  }
  const figures: Record<string, FigureVerdict> = {};
  for (const { figure: name, ...figure } of definition.figures) {
    const value = outcome.reading.figures[name] ?? null;
    const culprit = figure.culprit === null ? undefined : outcome.reading.details[figure.culprit];
    figures[name] = {
      ...figure,
      value,
      status: evaluateFigure(value, figure),
      culprit: typeof culprit === "string" ? culprit : null,
    };
  }
  const status = worst(Object.values(figures).map((figure) => figure.status));
  return {
    label,
    status,
    points: weight * shareOfPoints[status],
    weight,
    watched: outcome.reading.watched,
    unreadable: null,
    figures,
    details: outcome.reading.details,
  };
}

/**
 * The score is the sum of the components' points in percent of their weights: all of its weight for a healthy
 * component, half for a degraded one, nothing for a critical one. Rounded down: at 100 all are healthy.
 */
export function evaluate(
  looked: readonly { definition: ComponentDefinition; outcome: ReadingOutcome }[],
): Health {
  const components: Record<string, ComponentVerdict> = {};
  for (const { definition, outcome } of looked) {
    components[definition.component] = evaluateComponent(definition, outcome);
  }
  const verdicts = Object.values(components);
  const points = verdicts.reduce((sum, verdict) => sum + verdict.points, 0);
  const weights = verdicts.reduce((sum, verdict) => sum + verdict.weight, 0);
  return {
    score: Math.floor(100 * points / weights),
    status: worst(verdicts.map((verdict) => verdict.status)),
    components,
  };
}

/** One line: "74 of 100: critical API keys; degraded Tasks, Commands". */
export function summarize(health: Health): string {
  const verdicts = Object.values(health.components);
  const parts = (["critical", "degraded"] as const).flatMap((status) => {
    const labels = verdicts.filter((verdict) => verdict.status === status).map((
      verdict,
    ) => verdict.label);
    if (labels.length === 0) return [];
    const named = labels.length > 4
      ? `${labels.slice(0, 3).join(", ")} and ${labels.length - 3} more`
      : labels.join(", ");
    return [`${status} ${named}`];
  });
  return `${health.score} of 100: ${
    parts.length > 0 ? parts.join("; ") : `all ${verdicts.length} components healthy`
  }`;
}
